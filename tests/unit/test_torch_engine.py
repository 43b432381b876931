"""The torch engine in this process: a training from images to a stage, and the detector that its stage makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.running import TINY_CONFIG
from tests.shown_sizes import require_image_size
from tests.tiny_training import CLASSES, draw_set, job_of
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.image_reading import read_image_bgr
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.torch_engine import TorchEngine
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.training.job import StageWeights, TrainJob


def job_with_images(folder: Path, **form: object) -> TrainJob:
    data = draw_set(folder)
    job = job_of(folder, {}, TINY_CONFIG)
    records = [
        Record(Path(path), int(hw[1]), int(hw[0]), *data.objects(index))
        for index, (path, hw) in enumerate(zip(data.image_paths, data.image_hw))
    ]
    for path in (job.train_json, job.val_json):
        write_coco_json(path, records, CLASSES)
    settings = read_settings(TrainSettings, {"max_iter": 2, "batch_size": 2, "num_workers": 1, **form})
    return dataclasses.replace(job, settings=settings)


def test_a_training_ends_with_a_stage_that_a_detector_loads(tmp_path: Path):
    stages: list[StageWeights] = []

    def keep(stage: StageWeights) -> dict[str, bytes]:
        stages.append(stage)
        return {}

    job = dataclasses.replace(job_with_images(tmp_path, ema=0.5, class_weights="auto"), on_stage=keep)
    summary = TorchEngine().train(job)
    assert summary.steps == 2
    assert summary.device.startswith("CPU")
    assert [stage.name for stage in stages] == ["iter_0000001", "iter_0000002"]
    assert stages[-1].files == ("iter_0000002.pth", "config.yaml")
    config = tmp_path / "iter_0000002" / "config.yaml"
    package = ModelPackage(tmp_path / "iter_0000002.pth", config, None, "model_params_path")
    options = DetectorOptions(InferSettings(), (), 0.001, 0, {}, ())
    detector = TorchEngine().load_detector(package, options)
    assert detector.class_names == CLASSES
    pixels = detector.load(read_image_bgr(tmp_path / "0.png"))
    (detections,) = detector.detect([pixels])
    assert len(detections) > 0
    assert (detections.scores > 0.001).all()


def test_a_detector_reads_no_keys_of_the_training_that_made_its_model(tmp_path: Path):
    """A model of another program, whose optimizer nobody here knows."""
    (tmp_path / "config.yaml").write_text(f"_BASE_: {TINY_CONFIG}\nSOLVER: {{OPTIMIZER: ADAMW}}\nUNUSED: true\n")
    torch.save({"model": build_retinanet(load_config(TINY_CONFIG), 2).state_dict()}, tmp_path / "model_final.pth")
    package = ModelPackage(tmp_path / "model_final.pth", tmp_path / "config.yaml", None, "model_params_path")
    detector = TorchEngine().load_detector(package, DetectorOptions(InferSettings(), (), 0.5, 0, {}, CLASSES))
    assert detector.network_hw((640, 640)) == (64, 64), "tiny.yaml"


def test_image_size_is_the_short_edge_of_images_in_inference(tmp_path: Path):
    require_image_size(TorchEngine(), tmp_path)


def test_the_optimisations_of_inference_can_be_left_out_to_measure_them(tmp_path: Path):
    torch.save({"model": build_retinanet(load_config(TINY_CONFIG), 2).state_dict()}, tmp_path / "model_final.pth")
    package = ModelPackage(tmp_path / "model_final.pth", TINY_CONFIG, None, "model_params_path")
    options = DetectorOptions(InferSettings(), (), 0.5, 0, {}, CLASSES)
    fast = TorchEngine().load_detector(package, options)._model
    plain = TorchEngine().load_detector(package, options, fuse=False, channels_last=False)._model
    assert (fast.memory_format, plain.memory_format) == (torch.channels_last, torch.contiguous_format)
    assert len(fast.state_dict()) < len(plain.state_dict()), "normalisation has become a part of the convolutions"


def test_the_seed_determines_the_training(tmp_path: Path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        TorchEngine().train(dataclasses.replace(job_with_images(folder, seed=seed), on_stage=lambda stage: {}))
        weights.append(torch.load(str(folder / "iter_0000002.pth"))["model"])
    first, same, other = weights
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_what_this_engine_cannot_train_is_named(tmp_path: Path):
    job = dataclasses.replace(job_with_images(tmp_path), overrides={"INPUT.CROP.ENABLED": "True"})
    with pytest.raises(ConfigError, match=r"INPUT.CROP.ENABLED is True, .* needs engine: detectron2"):
        TorchEngine().train(job)


def test_an_rcnn_needs_the_other_engine_whatever_its_options(tmp_path: Path):
    torch.save({"model": {"x": torch.zeros(1)}, "class_names": ["a"]}, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text("MODEL: {META_ARCHITECTURE: GeneralizedRCNN}\n")
    package = ModelPackage(tmp_path / "model.pth", tmp_path / "config.yaml", None, "model_params_path")
    overrides = {"MODEL.ROI_BOX_CASCADE_HEAD.IOUS": "(0.5, 0.6, 0.7)"}
    options = DetectorOptions(InferSettings(), (), 0.001, 0, overrides, ())
    with pytest.raises(ConfigError, match=r"^MODEL.META_ARCHITECTURE is 'GeneralizedRCNN', .* engine: detectron2"):
        TorchEngine().load_detector(package, options)


def test_args_options_give_the_seed_as_the_form_does(tmp_path: Path):
    weights = []
    for number, (form, overrides) in enumerate([({"seed": 3}, {}), ({}, {"SEED": "3", "DATALOADER.NUM_WORKERS": "0"})]):
        folder = tmp_path / str(number)
        folder.mkdir()
        job = job_with_images(folder, **form)
        TorchEngine().train(dataclasses.replace(job, overrides=overrides, on_stage=lambda stage: {}))
        weights.append(torch.load(str(folder / "iter_0000002.pth"))["model"])
    first, same = weights
    assert all(torch.equal(value, same[name]) for name, value in first.items())
