"""The programs of docs/use.md, as they stand there: each runs as a process in a folder with a small model."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.running import PROJECT_DIR
from tests.tiny_export import POSTPROCESS, detecting
from tests.tiny_training import CLASSES, nothing_detected
from ymir_detectron2 import load_model
from ymir_detectron2.config.packed_config import packed_yaml
from ymir_detectron2.export.onnx_check import BOX_TOLERANCE_PX, SCORE_TOLERANCE, edges_of
from ymir_detectron2.export.onnx_model import OnnxRetinaNet, describe, write_onnx
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.training.tensorboard_logger import TensorBoardLogger

STAGE = "iter_0000120"
THRESHOLDS = {"all": 0.35, "by_class": {}}
PHOTO_HW = (128, 192)
"""Twice the size of the network, so that the photograph fills the input of the ONNX model."""


def program(heading: str) -> str:
    """Return the first block of Python below a heading of the page."""
    text = (PROJECT_DIR / "docs" / "use.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    block = re.search(r"^```python\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`out` as a training leaves it, as far as the programs read it, and a photograph that is stored turned."""
    root = tmp_path_factory.mktemp("use")
    models = root / "out" / "models"
    models.mkdir(parents=True)
    model = detecting(MODEL__RETINANET__NUM_CLASSES=len(CLASSES))
    metadata = {"class_names": list(CLASSES), "thresholds": THRESHOLDS}
    write_checkpoint(models / f"{STAGE}.pth", model.state_dict(), metadata)
    (models / "config.yaml").write_text(packed_yaml(model.cfg, f"{STAGE}.pth"))
    stage = {"stage_name": STAGE, "files": [f"{STAGE}.pth", "config.yaml"], "timestamp": 5, "mAP": 0.5}
    (models / "result.yaml").write_text(yaml.safe_dump({"best_stage_name": STAGE, "model_stages": {STAGE: stage}}))
    about = {**describe(CLASSES, (64, 96), POSTPROCESS, edges_of(model)), "thresholds": THRESHOLDS}
    write_onnx(models / f"{STAGE}.onnx", OnnxRetinaNet(model, (64, 96), POSTPROCESS), (64, 96), 0, about)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 12, 3)).astype(np.uint8)
    upright = Image.fromarray(pixels).resize(PHOTO_HW[::-1], Image.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.ROTATE_90).save(root / "photo.jpg", quality=95, exif=exif.tobytes())
    return root


def run(code: str, folder: Path, *paths: str) -> list[str]:
    """Run a program in a folder, with these on top of the PYTHONPATH of the tests; return the lines that it prints."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    variables["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH", "")])])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=str(folder), env=variables, text=True, capture_output=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Line(NamedTuple):
    name: str
    score: float
    box: tuple[float, ...]


def parsed(lines: list[str]) -> list[Line]:
    return [Line(name, float(score), tuple(map(float, box))) for name, score, *box in map(str.split, lines)]


def require_same(found: list[Line], expected: list[Line], box_tolerance_px: float, score_tolerance: float) -> None:
    """Each object has its counterpart, but for scores so near the threshold that rounding decides."""
    free = list(expected)
    for one in found:
        matches = [
            other for other in free
            if other.name == one.name and abs(other.score - one.score) <= score_tolerance
            and np.abs(np.subtract(other.box, one.box)).max() <= box_tolerance_px
        ]  # fmt: skip
        assert matches or one.score <= THRESHOLDS["all"] + score_tolerance, one
        free = [other for other in free if not matches or other is not matches[0]]
    assert [one for one in free if one.score > THRESHOLDS["all"] + score_tolerance] == []


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[Line]:
    """What the Python call finds, in this process."""
    found = load_model(folder / "out", device="cpu", engine="torch").predict(folder / "photo.jpg")
    assert found.image_hw == PHOTO_HW
    assert len(found) > 10
    assert {"a", "b"} == set(found.names)
    return [Line(*one) for one in found]


def test_the_python_call(folder: Path, expected: list[Line]):
    require_same(parsed(run(program("Python call"), folder, str(PROJECT_DIR))), expected, 0.02, 1e-3)
    with Image.open(folder / "boxes.jpg") as drawn:
        assert drawn.size == PHOTO_HW[::-1]


@pytest.mark.detectron2
@pytest.mark.skipif(importlib.util.find_spec("detectron2") is None, reason="needs detectron2")
def test_detectron2(folder: Path, expected: list[Line]):
    """Alone: this project cannot be imported, but for what lets detectron2 0.6 know a newer Pillow."""
    code = f"import sys\nsys.path.append({str(PROJECT_DIR)!r})\nimport ymir_detectron2.engines.pillow_names\n"
    code += "sys.path.pop()\n" + program("detectron2")
    require_same(parsed(run(code, folder)), expected, 0.1, 1e-3)


def test_onnxruntime_alone(folder: Path, expected: list[Line], tmp_path: Path):
    """Neither torch nor this project can be imported."""
    pytest.importorskip("onnxruntime")
    for name in ("torch", "ymir_detectron2"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} was imported')\n")
    # twice the tolerance of the export: that is in pixels of the input
    lines = run(program("onnxruntime"), folder, str(tmp_path))
    require_same(parsed(lines), expected, 2 * BOX_TOLERANCE_PX, SCORE_TOLERANCE)


def test_tensorboard(folder: Path, tmp_path: Path):
    (tmp_path / "set").mkdir()
    metrics = nothing_detected(tmp_path / "set").metrics
    logger = TensorBoardLogger(folder / "out" / "tensorboard")
    for step, ap50 in ((40, 0.25), (80, 0.5), (120, 0.375)):
        logger.add_metrics(step, replace(metrics, ap50=ap50))
    logger.close()
    assert run(program("TensorBoard"), folder) == [
        "step 40: AP50 0.2500, best so far 0.2500", "step 80: AP50 0.5000, best so far 0.5000",
        "step 120: AP50 0.3750, best so far 0.5000",
    ]  # fmt: skip
