"""The best stage packed as ONNX too; what cannot be exported costs a warning and nothing else."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from pathlib import Path

import pytest

from tests.platform_reader import read_training_result
from tests.tiny_training import CLASSES, build, config, draw_set, job_of
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.contract.training_result import Stage, TrainingResult
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.tasks import export
from ymir_detectron2.tasks.export import export_best_stage, require_exporter
from ymir_detectron2.training.job import TrainJob


def job_with_images(folder: Path, form: dict) -> TrainJob:
    job = job_of(folder, form)
    data = draw_set(folder)
    records = [
        Record(Path(path), int(hw[1]), int(hw[0]), *data.objects(number))
        for number, (path, hw) in enumerate(zip(data.image_paths, data.image_hw))
    ]
    write_coco_json(job.val_json, records, CLASSES)
    return dataclasses.replace(job, class_names=CLASSES)


def trained(folder: Path, config_text: str | None = None, **stored: int) -> TrainingResult:
    """Two stages, of which the second is the best; weights and configuration as a training leaves them."""
    cfg = config()
    (folder / "config.yaml").write_text(cfg.to_yaml() if config_text is None else config_text)
    result = TrainingResult(folder, folder / "result.yaml", writes_stages=True)
    metadata = {"class_names": list(CLASSES), "thresholds": {"all": 0.4, "by_class": {"b": 0.3}}, **stored}
    for step in (1, 2):
        write_checkpoint(folder / f"iter_{step}.pth", build(cfg, step).state_dict(), metadata)
        result.add(Stage(f"iter_{step}", (f"iter_{step}.pth", "config.yaml"), step / 10))
    return result


def test_the_best_stage_gets_a_model_of_the_size_of_inference(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """tiny.yaml resizes to between 64 and 96 pixels."""
    import onnx

    result = trained(tmp_path)
    with caplog.at_level(logging.INFO):
        export_best_stage(job_with_images(tmp_path, {"export": "onnx"}), result)
    assert "iter_2.onnx, input 64 x 96: onnxruntime finds the same" in caplog.text
    stages = read_training_result(tmp_path).stages
    assert set(stages["iter_2"].files) == {"iter_2.pth", "config.yaml", "iter_2.onnx"}
    assert set(stages["iter_1"].files) == {"iter_1.pth", "config.yaml"}
    metadata = {item.key: item.value for item in onnx.load(str(tmp_path / "iter_2.onnx")).metadata_props}
    assert (metadata["class_names"], metadata["stage"]) == ('["a", "b"]', "iter_2")
    assert json.loads(metadata["thresholds"]) == {"all": 0.4, "by_class": {"b": 0.3}}


def test_of_a_model_trained_on_tiles_somebody_else_has_to_cut_them(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    import onnx

    result = trained(tmp_path, tile_size=320, tile_overlap=64)
    export_best_stage(job_with_images(tmp_path, {"export": "onnx"}), result)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "trained on tiles of 320 px, and an ONNX model cannot cut images into tiles" in warning
    metadata = {item.key: item.value for item in onnx.load(str(tmp_path / "iter_2.onnx")).metadata_props}
    assert (metadata["tile_size"], metadata["tile_overlap"]) == ("320", "64")


def test_what_an_earlier_start_has_packed_is_left_alone(tmp_path: Path):
    result = trained(tmp_path)
    (tmp_path / "iter_2.onnx").write_bytes(b"as it was")
    result.add_file("iter_2", "iter_2.onnx")
    export_best_stage(job_with_images(tmp_path, {"export": "onnx"}), result)
    assert (tmp_path / "iter_2.onnx").read_bytes() == b"as it was"
    assert result.best().files == ("iter_2.pth", "config.yaml", "iter_2.onnx")


def test_size_and_opset_of_the_form(tmp_path: Path):
    import onnx

    form = {"export": "onnx", "export_size": "100x150", "export_opset": 12}
    export_best_stage(job_with_images(tmp_path, form), trained(tmp_path))
    model = onnx.load(str(tmp_path / "iter_2.onnx"))
    assert [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim] == [1, 100, 150, 3]
    assert model.opset_import[0].version == 12


def test_a_network_that_is_no_retinanet_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    text = config().to_yaml().replace("META_ARCHITECTURE: RetinaNet", "META_ARCHITECTURE: GeneralizedRCNN")
    result = trained(tmp_path, text)
    before = (tmp_path / "result.yaml").read_text()
    with caplog.at_level(logging.INFO):
        export_best_stage(job_with_images(tmp_path, {"export": "onnx"}), result)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "export: iter_2.onnx is not packed: ConfigError: MODEL.META_ARCHITECTURE" in caplog.text
    assert (tmp_path / "result.yaml").read_text() == before
    assert not (tmp_path / "iter_2.onnx").exists()


@pytest.mark.parametrize("trouble", ["no image can be read", "KiB left next to it, and"])
def test_what_cannot_be_compared_or_leaves_no_room_is_not_packed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, trouble: str
):
    job, result = job_with_images(tmp_path, {"export": "onnx"}), trained(tmp_path)
    before = (tmp_path / "result.yaml").read_text()
    if "KiB" in trouble:
        monkeypatch.setattr(export, "_RESERVE_BYTES", 1 << 60)
    else:
        for image in tmp_path.glob("*.png"):
            image.write_bytes(b"torn")
    export_best_stage(job, result)
    assert "export: iter_2.onnx is not packed" in caplog.text
    assert trouble in caplog.text
    assert (tmp_path / "result.yaml").read_text() == before
    assert not (tmp_path / "iter_2.onnx").exists()


def test_nothing_is_exported_without_being_asked(tmp_path: Path):
    export_best_stage(job_with_images(tmp_path, {}), trained(tmp_path))
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        pytest.param({"export": "tflite"}, "export: must be one of onnx", id="another format"),
        pytest.param({"export_opset": 25}, "export_opset: must be from 11 to 20, or 0", id="an opset of the future"),
        pytest.param({"export_size": "800"}, "export_size: must be height and width", id="one side"),
        pytest.param({"export_size": "0x100"}, "export_size: must be height and width", id="no height"),
        pytest.param({"anchors": "kmeans"}, "anchors: must be one of auto", id="unknown anchors"),
    ],
)
def test_what_the_form_may_not_say(form: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        read_settings(TrainSettings, form)


def test_a_missing_package_is_said_before_the_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [])  # nothing can be found any more
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    with pytest.raises(ConfigError, match="needs the Python package onnx, which is not installed here"):
        require_exporter(TrainSettings(export="onnx"))
    require_exporter(TrainSettings())


def test_a_size_that_no_memory_holds_is_refused_before_the_training():
    with pytest.raises(ConfigError, match="export_size: 99999x99999 are more than 9000000 pixels"):
        require_exporter(TrainSettings(export="onnx", export_size="99999x99999"))
    require_exporter(TrainSettings(export_size="99999x99999"))  # nothing is exported
    require_exporter(TrainSettings(export="onnx", export_size="2160x3840"))
