"""What a chosen model brings to a training, and the line that says what came from where."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Mapping

import pytest

from tests.running import TINY_CONFIG
from tests.tiny_training import PROJECT_DIR, R50_CONFIG, job_of
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.training.config_sources import log_sources, with_model_keys
from ymir_detectron2.training.job import TrainJob

# as detectron2's own trainer saves it, with an optimizer of another project
FOREIGN = """
_BASE_: {base}
MODEL: {{PIXEL_MEAN: [123.675, 116.28, 103.53]}}
INPUT: {{FORMAT: RGB, MIN_SIZE_TRAIN: [224, 256], MIN_SIZE_TRAIN_SAMPLING: range, RANDOM_FLIP: none}}
SOLVER: {{OPTIMIZER: ADAMW, STEPS: never, BASE_LR: 5.0, CLIP_GRADIENTS: {{CLIP_VALUE: 0.1}}}}
DATASETS: {{PROPOSAL_FILES: []}}
TEST: {{DETECTIONS_PER_IMAGE: 300, EXPECTED_RESULTS: [[bbox, AP, 1.0, 2.0]]}}
FIND_UNUSED_PARAM: true
"""


def job_with_model(
    folder: Path, config: str | None, form: Mapping[str, Any] | None = None, config_file: Path = R50_CONFIG
) -> TrainJob:
    path = folder / "config.yaml" if config is not None else None
    if path is not None:
        path.write_text(config or "", encoding="utf-8")
    package = ModelPackage(folder / "model.pth", path, None, "pretrained_model_params")
    return dataclasses.replace(job_of(folder, form or {}, config_file), pretrained=package)


def with_model(job: TrainJob) -> RetinaNetConfig:
    return with_model_keys(job, load_config(job.config_file), load_config)


def test_network_and_images_are_the_models_whatever_else_its_file_holds(tmp_path: Path):
    cfg = with_model(job_with_model(tmp_path, FOREIGN.format(base=TINY_CONFIG)))
    assert (cfg["MODEL.FPN.OUT_CHANNELS"], cfg["MODEL.PIXEL_MEAN"]) == (64, (123.675, 116.28, 103.53))
    assert (cfg["INPUT.FORMAT"], cfg["INPUT.RANDOM_FLIP"]) == ("RGB", "none")
    assert (cfg["INPUT.MIN_SIZE_TRAIN"], cfg["INPUT.MIN_SIZE_TRAIN_SAMPLING"]) == ((224, 256), "range")
    assert (cfg["INPUT.MIN_SIZE_TEST"], cfg["INPUT.MAX_SIZE_TEST"]) == (64, 96)
    assert (cfg["SOLVER.CLIP_GRADIENTS.ENABLED"], cfg["SOLVER.CLIP_GRADIENTS.CLIP_VALUE"]) == (True, 0.1)
    assert cfg["TEST.DETECTIONS_PER_IMAGE"] == 300
    assert (cfg["SOLVER.BASE_LR"], cfg["SOLVER.STEPS"]) == (0.01, (60000, 80000)), "those of config_file"


def test_what_the_models_file_leaves_out_is_detectron2s_default_and_not_config_files(tmp_path: Path):
    """A hand-written config.yaml of a model: detectron2 trained it at its default size of 800."""
    cfg = with_model(job_with_model(tmp_path, "MODEL: {META_ARCHITECTURE: RetinaNet}", config_file=TINY_CONFIG))
    assert (cfg["INPUT.MIN_SIZE_TRAIN"], cfg["MODEL.FPN.OUT_CHANNELS"]) == ((800,), 256)
    assert cfg["SOLVER.CLIP_GRADIENTS.ENABLED"] is False
    assert cfg["SOLVER.MAX_ITER"] == 100


def test_a_network_with_unknown_keys_is_refused_by_the_file(tmp_path: Path):
    job = job_with_model(tmp_path, "MODEL: {RESNETS: {DEPHT: 18}}")
    with pytest.raises(ConfigError, match=r"config.yaml: unknown key 'MODEL.RESNETS.DEPHT'; did you mean '.*DEPTH'"):
        with_model(job)


def test_weights_without_a_config_are_trained_as_config_file_says_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    job = job_with_model(tmp_path, None)
    assert dict(with_model(job)) == dict(load_config(R50_CONFIG))
    (warning,) = caplog.messages
    assert warning.startswith(f"{tmp_path}/model.pth: no config.yaml lies next to it")
    assert f"taken from {R50_CONFIG}; list the config.yaml of that training in pretrained_model_params" in warning


def test_a_config_file_that_somebody_chose_and_that_differs_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    model = f"_BASE_: {TINY_CONFIG}\nMODEL: {{RETINANET: {{NUM_CLASSES: 3}}, WEIGHTS: x.pkl}}\n"
    with_model(job_with_model(tmp_path, model))
    with_model(job_with_model(tmp_path, model, config_file=TINY_CONFIG))
    assert caplog.messages == [], "the default is not a choice, and the same network is no difference"
    own = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
    with_model(job_with_model(tmp_path, model, config_file=own))
    (warning,) = caplog.messages
    assert warning.startswith(f"{own} differs from the chosen model in INPUT.MIN_SIZE_TRAIN, INPUT.MAX_SIZE_TRAIN,")
    assert "more: the model's values are used" in warning
    assert "NUM_CLASSES" not in warning


def test_one_line_says_what_came_from_where(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    form = {"batch_size": 4, "learning_rate": 0.001, "max_iter": 20, "image_size": 320}
    job = dataclasses.replace(job_with_model(tmp_path, "", form), overrides={"INPUT.FORMAT": "RGB"})
    with caplog.at_level(logging.INFO):
        log_sources(job)
        log_sources(job_of(tmp_path, {}))
    assert caplog.messages == [
        f"the configuration is that of {R50_CONFIG} (schedule); then {tmp_path}/config.yaml of the chosen model ("
        "VERSION, MODEL, INPUT, SOLVER.CLIP_GRADIENTS, TEST.DETECTIONS_PER_IMAGE); then config.yaml (batch_size 4,"
        " learning_rate 0.001, max_iter 20, image_size 320); then args_options (INPUT.FORMAT), the later ones winning",
        f"the configuration is that of {R50_CONFIG} (network and schedule), the later ones winning",
    ]
