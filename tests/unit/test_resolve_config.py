"""Batch size, learning rate, steps and the rest of the config, where the form specifies them and where it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.running import TINY_CONFIG
from tests.tiny_training import job_of
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.training.resolve_config import require_free, resolve_config


@pytest.mark.parametrize(
    ("form", "overrides", "expected"),
    [
        # retinanet_R_50_FPN_1x.yaml: 16 images, rate 0.01, 90000 steps
        pytest.param({}, {}, (16, 0.01, 90000), id="an empty form"),
        pytest.param(
            {"batch_size": 2, "max_iter": 90000, "learning_rate": 0.001}, {}, (2, 0.001, 90000), id="the form as it is"
        ),
        pytest.param({"batch_size": 8}, {}, (8, 0.005, 90000), id="half the batch, half the rate"),
        pytest.param({"batch_size": 2, "learning_rate": 0}, {}, (2, 0.00125, 90000), id="an eighth"),
        pytest.param({"batch_size": 8, "learning_rate": 0.02}, {}, (8, 0.02, 90000), id="a given rate stays as it is"),
        pytest.param({}, {"SOLVER.IMS_PER_BATCH": "4"}, (4, 0.0025, 90000), id="a batch of args_options counts too"),
        pytest.param({}, {"SOLVER.BASE_LR": "0.3"}, (16, 0.3, 90000), id="a rate of args_options is as given"),
        pytest.param({"batch_size": 8, "max_epochs": 12}, {}, (8, 0.005, 75), id="12 x 50 / 8"),
        pytest.param({"batch_size": 16, "max_epochs": 0.5}, {}, (16, 0.01, 2), id="25 images are 2 batches"),
        pytest.param(
            {"batch_size": 5, "max_epochs": 3, "max_iter": 90000}, {}, (5, 0.003125, 30),
            id="max_epochs before max_iter, which the form always sends",
        ),
        pytest.param({"max_epochs": 3}, {"SOLVER.MAX_ITER": "7"}, (16, 0.01, 7), id="args_options before both"),
    ],
)  # fmt: skip
def test_batch_rate_and_length(tmp_path: Path, form: dict, overrides: dict, expected: tuple[int, float, int]):
    cfg = resolve_config(job_of(tmp_path, form, overrides=overrides), load_config)
    resolved = (cfg["SOLVER.IMS_PER_BATCH"], cfg["SOLVER.BASE_LR"], cfg["SOLVER.MAX_ITER"])
    assert resolved == pytest.approx(expected)


@pytest.mark.parametrize("key", ["SOLVER.MAX_ITER", "SOLVER.IMS_PER_BATCH"])
def test_a_config_without_length_or_batch_is_one_sentence_even_where_another_place_decides(tmp_path: Path, key: str):
    section, name = key.split(".")
    (tmp_path / "own.yaml").write_text(f"{section}: {{{name}: 0}}")
    job = job_of(tmp_path, {}, config_file=tmp_path / "own.yaml", overrides={key: "4"})
    with pytest.raises(ConfigError, match=f"{key}: must be at least 1, found 0"):
        resolve_config(job, load_config)


def test_the_schedule_follows_the_epochs(tmp_path: Path):
    """900 steps are a hundredth of the config's 90000."""
    cfg = resolve_config(job_of(tmp_path, {"batch_size": 2, "max_epochs": 36}), load_config)
    assert (cfg["SOLVER.MAX_ITER"], cfg["SOLVER.STEPS"], cfg["SOLVER.WARMUP_ITERS"]) == (900, (600, 800), 10)


def test_repeat_factor_is_detectron2s_sampler(tmp_path: Path):
    cfg = resolve_config(job_of(tmp_path, {"repeat_factor": 0.1}), load_config)
    assert cfg["DATALOADER.SAMPLER_TRAIN"] == "RepeatFactorTrainingSampler"
    assert cfg["DATALOADER.REPEAT_THRESHOLD"] == 0.1


def test_evaluation_period_of_the_form(tmp_path: Path):
    cfg = resolve_config(job_of(tmp_path, {"max_iter": 100, "eval_period": 7}), load_config)
    assert cfg["TEST.EVAL_PERIOD"] == cfg["SOLVER.CHECKPOINT_PERIOD"] == 7
    cfg = resolve_config(job_of(tmp_path, {"max_iter": 100}), load_config)
    assert cfg["TEST.EVAL_PERIOD"] == 10, "a tenth of the run"


def test_a_pretrained_model_brings_its_network_and_config_file_the_rest(tmp_path: Path):
    package = ModelPackage(tmp_path / "model.pth", TINY_CONFIG, None, "pretrained_model_params")
    cfg = resolve_config(dataclasses.replace(job_of(tmp_path, {}), pretrained=package), load_config)
    assert cfg["MODEL.FPN.OUT_CHANNELS"] == 64
    assert cfg["INPUT.MIN_SIZE_TEST"] == 800


def test_the_classes_of_the_task_and_images_without_objects_are_always_used(tmp_path: Path):
    cfg = resolve_config(job_of(tmp_path, {}), load_config)
    assert cfg["MODEL.RETINANET.NUM_CLASSES"] == 2
    assert cfg["DATALOADER.FILTER_EMPTY_ANNOTATIONS"] is False


def test_another_number_of_classes_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"NUM_CLASSES 3 is not the number of class_names \(2\)"):
        resolve_config(job_of(tmp_path, {}, overrides={"MODEL.RETINANET.NUM_CLASSES": "3"}), load_config)


@pytest.mark.parametrize("key", ["DATASETS.TRAIN", "DATASETS.TEST", "MODEL.DEVICE", "OUTPUT_DIR"])
def test_what_the_task_decides_cannot_be_set(key: str):
    with pytest.raises(ConfigError, match=f"args_options: {key} cannot be set here"):
        require_free({key: "1"})
    require_free({"SOLVER.BASE_LR": "1"})
