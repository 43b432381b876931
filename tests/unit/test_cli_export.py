"""`export`: a trained model as ONNX, compared with torch, and as a package that is a MODEL again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import CLASS_NAMES, Trained
from ymir_detectron2.cli.main import main
from ymir_detectron2.tools.model_argument import open_model

onnx = pytest.importorskip("onnx")


def stage_of(trained: Trained) -> str:
    with open_model(trained.models_dir) as stage:
        return stage.name


def metadata(file: Path) -> dict[str, str]:
    return {item.key: item.value for item in onnx.load(str(file)).metadata_props}


def test_a_run_is_compared_on_its_validation_images(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(trained.tree.root), "--to", "onnx", "--size", "64x96"]) == 0
    assert "input 64 x 96: onnxruntime finds the same" in caplog.text
    written = metadata(tmp_path / f"{stage_of(trained)}.onnx")
    assert json.loads(written["class_names"]) == list(CLASS_NAMES)


def test_weights_without_a_run_say_that_nothing_was_compared(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with open_model(trained.models_dir) as stage:
        for name, file in stage.files:
            if name.endswith((".pth", ".yaml")):
                (tmp_path / name).write_bytes(file.read_bytes())
    target = tmp_path / "deep" / "model.onnx"
    assert main(["export", str(tmp_path), "--to", "onnx", "--size", "64x96", "--out", str(target)]) == 0
    assert "the file is not compared with torch; give --images" in caplog.text
    assert json.loads(metadata(target)["class_names"]) == list(CLASS_NAMES), "of the weights themselves"


def test_a_package_is_a_model_again(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "bolts.tar"
    assert main(["export", str(trained.tree.out_dir), "--to", "ymir", "--out", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    with open_model(target) as stage:
        assert (stage.name, stage.class_names) == (stage_of(trained), list(CLASS_NAMES))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [(["--size", "wide"], "export_size: must be height and width"), (["--opset", "99"], "must be from 11 to 20, or 0")],
)
def test_what_cannot_be_is_one_sentence(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
):
    assert main(["export", str(trained.tree.root), "--to", "onnx", "--out", str(tmp_path / "x.onnx"), *more]) == 1
    assert sentence in capsys.readouterr().err.splitlines()[0]
    assert not (tmp_path / "x.onnx").exists()
