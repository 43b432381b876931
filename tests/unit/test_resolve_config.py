"""Batch size, learning rate, steps and the rest of the config, where the form specifies them and where it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.running import TINY_CONFIG
from tests.tiny_training import R50_CONFIG, job_of
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
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


@pytest.mark.parametrize(
    ("key", "expected"), [("SOLVER.MAX_ITER", "at least 1"), ("SOLVER.IMS_PER_BATCH", "from 1 to 65536")]
)
def test_a_config_without_length_or_batch_is_one_sentence_even_where_another_place_decides(
    tmp_path: Path, key: str, expected: str
):
    section, name = key.split(".")
    (tmp_path / "own.yaml").write_text(f"{section}: {{{name}: 0}}")
    job = job_of(tmp_path, {}, config_file=tmp_path / "own.yaml", overrides={key: "4"})
    with pytest.raises(ConfigError, match=f"{key} is 0, must be {expected}"):
        resolve_config(job, load_config)


def test_the_schedule_follows_the_epochs(tmp_path: Path):
    """900 steps are a hundredth of the config's 90000."""
    cfg = resolve_config(job_of(tmp_path, {"batch_size": 2, "max_epochs": 36}), load_config)
    assert (cfg["SOLVER.MAX_ITER"], cfg["SOLVER.STEPS"], cfg["SOLVER.WARMUP_ITERS"]) == (900, (600, 800), 10)


def test_an_epoch_is_what_a_pass_draws_of_images_and_tiles(tmp_path: Path):
    seen = []

    def draws(cfg: RetinaNetConfig) -> int:
        seen.append((cfg["INPUT.MIN_SIZE_TEST"], cfg["INPUT.MAX_SIZE_TEST"]))
        return 700

    form = {"batch_size": 2, "max_epochs": 3, "image_size": 400}
    job = job_of(tmp_path, form, overrides={"INPUT.MAX_SIZE_TEST": "1"})
    assert resolve_config(job, load_config, draws)["SOLVER.MAX_ITER"] == 1050
    assert seen == [(400, 1)], "the final sizes, once"


def test_repeat_factor_is_detectron2s_sampler(tmp_path: Path):
    cfg = resolve_config(job_of(tmp_path, {"repeat_factor": 0.1}), load_config)
    assert cfg["DATALOADER.SAMPLER_TRAIN"] == "RepeatFactorTrainingSampler"
    assert cfg["DATALOADER.REPEAT_THRESHOLD"] == 0.1


@pytest.mark.parametrize(
    ("form", "overrides", "expected"),
    [
        pytest.param({"batch_size": 8}, {}, (0.005, 0.0005), id="scaled with the batch"),
        pytest.param({"batch_size": 8, "learning_rate": 0.001}, {}, (0.001, 0.0001), id="of the form"),
        pytest.param({}, {"SOLVER.BASE_LR": "0.1"}, (0.1, 0.01), id="of args_options"),
        pytest.param({}, {"SOLVER.BASE_LR_END": "0.002"}, (0.01, 0.002), id="as args_options specify"),
    ],
)
def test_the_learning_rate_of_the_end_keeps_its_share(
    tmp_path: Path, form: dict, overrides: dict, expected: tuple[float, float]
):
    own = tmp_path / "own.yaml"
    own.write_text(f"_BASE_: {R50_CONFIG}\nSOLVER: {{LR_SCHEDULER_NAME: WarmupCosineLR, BASE_LR_END: 0.001}}\n")
    cfg = resolve_config(job_of(tmp_path, form, config_file=own, overrides=overrides), load_config)
    assert (cfg["SOLVER.BASE_LR"], cfg["SOLVER.BASE_LR_END"]) == pytest.approx(expected)


def test_evaluation_period_of_the_form(tmp_path: Path):
    cfg = resolve_config(job_of(tmp_path, {"max_iter": 100, "eval_period": 7}), load_config)
    assert cfg["TEST.EVAL_PERIOD"] == cfg["SOLVER.CHECKPOINT_PERIOD"] == 7
    cfg = resolve_config(job_of(tmp_path, {"max_iter": 100}), load_config)
    assert cfg["TEST.EVAL_PERIOD"] == 10, "a tenth of the run"


def resolved_with_model(tmp_path: Path, form: dict, overrides: dict | None = None) -> RetinaNetConfig:
    package = ModelPackage(tmp_path / "model.pth", TINY_CONFIG, None, "pretrained_model_params")
    job = dataclasses.replace(job_of(tmp_path, form, overrides=overrides), pretrained=package)
    return resolve_config(job, load_config)


def test_a_chosen_model_brings_network_and_images_and_the_form_the_schedule(tmp_path: Path):
    cfg = resolved_with_model(tmp_path, {"batch_size": 8, "max_iter": 900})
    assert (cfg["MODEL.FPN.OUT_CHANNELS"], cfg["INPUT.MIN_SIZE_TEST"]) == (64, 64)
    assert (cfg["SOLVER.CLIP_GRADIENTS.ENABLED"], cfg["SOLVER.CLIP_GRADIENTS.CLIP_TYPE"]) == (True, "norm")
    # retinanet_R_50_FPN_1x.yaml: 16 images, rate 0.01, decays at 2/3 and 8/9 of the run
    assert (cfg["SOLVER.BASE_LR"], cfg["SOLVER.STEPS"], cfg["SOLVER.WARMUP_ITERS"]) == (0.005, (600, 800), 10)


def test_image_size_and_args_options_win_over_the_chosen_model(tmp_path: Path):
    cfg = resolved_with_model(tmp_path, {"image_size": 128}, {"INPUT.FORMAT": "RGB", "INPUT.MAX_SIZE_TEST": "150"})
    assert (cfg["INPUT.MIN_SIZE_TRAIN"], cfg["INPUT.MAX_SIZE_TRAIN"]) == ((128,), 192), "twice 64 and 96"
    assert (cfg["INPUT.MIN_SIZE_TEST"], cfg["INPUT.MAX_SIZE_TEST"], cfg["INPUT.FORMAT"]) == (128, 150, "RGB")


def test_args_options_mend_what_this_project_cannot_train(tmp_path: Path):
    """A model of another program may have been shown what nobody here can show."""
    shown = "{FORMAT: YUV-BT.601, RANDOM_FLIP: diagonal}"
    (tmp_path / "config.yaml").write_text(f"_BASE_: {TINY_CONFIG}\nINPUT: {shown}\n")
    package = ModelPackage(tmp_path / "model.pth", tmp_path / "config.yaml", None, "pretrained_model_params")
    overrides = {"INPUT.FORMAT": "BGR", "INPUT.RANDOM_FLIP": "none"}
    job = dataclasses.replace(job_of(tmp_path, {}, overrides=overrides), pretrained=package)
    cfg = resolve_config(job, load_config)
    assert (cfg["INPUT.FORMAT"], cfg["INPUT.RANDOM_FLIP"]) == ("BGR", "none")


def test_a_repeat_factor_of_the_model_does_not_outlive_it(tmp_path: Path):
    """An empty repeat_factor means off, also where the model was trained with one."""
    (tmp_path / "config.yaml").write_text(
        f"_BASE_: {TINY_CONFIG}\nDATALOADER: {{SAMPLER_TRAIN: RepeatFactorTrainingSampler, REPEAT_THRESHOLD: 0.1}}\n"
    )
    package = ModelPackage(tmp_path / "model.pth", tmp_path / "config.yaml", None, "pretrained_model_params")
    cfg = resolve_config(dataclasses.replace(job_of(tmp_path, {}), pretrained=package), load_config)
    assert (cfg["MODEL.FPN.OUT_CHANNELS"], cfg["DATALOADER.SAMPLER_TRAIN"]) == (64, "TrainingSampler")


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


@pytest.mark.parametrize(
    ("form", "overrides", "num_images", "period"),
    [
        pytest.param({"patience": 5}, {}, 400, 2000, id="ten epochs of 400 images in batches of 2"),
        pytest.param({"patience": 5}, {}, 50, 500, id="250 steps are too few to learn something"),
        pytest.param({"patience": 5}, {}, 5000, 9000, id="a tenth is less"),
        pytest.param({"patience": 5, "max_iter": 3000}, {}, 50, 300, id="of a shorter run too"),
        pytest.param({"patience": 5, "eval_period": 4000}, {}, 400, 4000, id="a given period stays"),
        pytest.param({"patience": 5}, {"TEST.EVAL_PERIOD": "4000"}, 400, 4000, id="one of args_options too"),
        pytest.param({"patience": 0}, {}, 400, 9000, id="without early stopping a tenth"),
    ],
)
def test_a_plateau_can_be_found_however_long_the_training_may_be(
    tmp_path: Path, form: dict, overrides: dict, num_images: int, period: int
):
    job = job_of(tmp_path, {"batch_size": 2, "max_iter": 90000, **form}, overrides=overrides, num_images=num_images)
    assert resolve_config(job, load_config)["TEST.EVAL_PERIOD"] == period
