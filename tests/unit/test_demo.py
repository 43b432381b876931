"""The demo's own logic: folder, failures, table, and the detections it reads. `make demo` is the whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.annotated_sets import grey_image
from ymir_detectron2.contract.infer_result import ResultBox
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools import demo


def test_folder_with_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert demo.main(["--out", str(tmp_path)]) == 1
    assert "holds other things than a demo" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_task_that_fails_ends_the_demo_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("TRAINING_IMAGES", "VALIDATION_IMAGES", "CANDIDATES"):
        monkeypatch.setattr(demo, name, 1)
    monkeypatch.setattr(demo, "TRAINING_CONFIG", {"config_file": "configs/absent.yaml"})
    for _ in range(2):  # a second demo replaces the first
        assert demo.main(["--out", str(tmp_path / "demo")]) == 1
        output = capfd.readouterr()
        assert "configs/absent.yaml" in output.out
        assert output.err.splitlines()[-1].startswith("demo: 1/3  train: start.py ended with status 1")


@pytest.mark.parametrize("list_key", ["boxes", "annotations"])
def test_detections_are_read_in_the_order_of_the_images(tmp_path: Path, list_key: str) -> None:
    images = [AnnotatedImage(grey_image(tmp_path / f"{shade}.png", shade)) for shade in (1, 2)]
    box = {"class_name": "disc", "score": 0.5, "box": {"x": 1, "y": 2, "w": 3, "h": 4}}
    names = ["1.png", "2.png"]
    (tmp_path / "r.json").write_text(json.dumps({"detection": {names[1]: {list_key: [box]}, names[0]: {list_key: []}}}))
    assert demo.load_detections(tmp_path / "r.json", images) == [[], [ResultBox(1, 2, 3, 4, "disc", 0.5)]]


def test_image_without_entry_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"detection": {}}')
    with pytest.raises(ExecutorError, match="boxes of every image"):
        demo.load_detections(tmp_path / "r.json", [AnnotatedImage(grey_image(tmp_path / "a.png", 1))])


SUMMARIES: dict[str, dict[str, Any]] = {
    "train/out/train-summary.json": {"seconds_per_step": 0.5, "steps": 400, "more": None},
    "mining-infer/out/mining-summary.json": {"images": 40, "images_per_second": 8.04},
    "infer/out/infer-summary.json": {"images": 30, "images_per_second": 25},
}


def test_rows_are_what_the_tasks_measured(tmp_path: Path) -> None:
    for name, content in SUMMARIES.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps(content))
    assert demo.collect_rows(tmp_path, 0.6789, {"train": 100, "infer": 2.25}) == [
        ("AP50 on 40 validation images, best stage", "0.679"),
        ("training, seconds per step (400 steps)", "0.500"),
        ("inference, images/s (30 images)", "25.0"),
        ("mining, images/s (40 images)", "8.0"),
        ("wall time: train", "100.0 s"),
        ("wall time: infer", "2.2 s"),
    ]
    (tmp_path / "infer" / "out" / "infer-summary.json").write_text('{"images": 30}')
    with pytest.raises(ExecutorError, match=r"infer-summary\.json: does not hold images and images_per_second"):
        demo.collect_rows(tmp_path, 0.6789, {})


def test_table_lines_up() -> None:
    assert demo.format_table([("AP50", "0.5"), ("wall time", "12.5 s")]) == "AP50          0.5\nwall time  12.5 s"
