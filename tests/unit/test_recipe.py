"""How long, how fast, in what batches and from which weights, where the form says it and where it does not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.engines.base import TrainJob
from ymir_detectron2.engines.packages import initial_weights
from ymir_detectron2.engines.precedence import resolve_config
from ymir_detectron2.engines.published import coco_weights, imagenet_weights
from ymir_detectron2.errors import ConfigError, NetworkError
from ymir_detectron2.retinanet.config import Config, load_config
from ymir_detectron2.settings import TrainSettings, read_settings

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
COCO = PROJECT_DIR / "configs" / "COCO-Detection"
R50, R101 = COCO / "retinanet_R_50_FPN_1x.yaml", COCO / "retinanet_R_101_FPN_3x.yaml"
PICTURES = 50


def job_of(folder: Path, form: dict[str, Any], config_file: Path = R50, overrides: dict[str, str] | None = None):
    """A job over 50 pictures, with as much of the form as is given."""
    nothing_in_it = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    records = [Record(Path(f"{number}.jpg"), 10, 10, *nothing_in_it) for number in range(PICTURES)]
    for name in ("train.json", "val.json"):
        write_coco_json(folder / name, records, ("a", "b"))

    def nothing(*_: object) -> bool:
        return False

    return TrainJob(
        folder / "train.json", folder / "val.json", ("a", "b"), read_settings(TrainSettings, form), config_file,
        overrides or {}, None, (folder / "weights",), (), folder, folder, folder, False, nothing, nothing, nothing,
        nothing, nothing,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("form", "overrides", "expected"),
    [
        # retinanet_R_50_FPN_1x.yaml: 16 pictures, rate 0.01, 90000 steps
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
        pytest.param({"batch_size": 16, "max_epochs": 0.5}, {}, (16, 0.01, 2), id="25 pictures are 2 batches"),
        pytest.param(
            {"batch_size": 5, "max_epochs": 3, "max_iter": 90000}, {}, (5, 0.003125, 30),
            id="max_epochs before max_iter, which the form always sends",
        ),
        pytest.param({"max_epochs": 3}, {"SOLVER.MAX_ITER": "7"}, (16, 0.01, 7), id="args_options before both"),
    ],
)  # fmt: skip
def test_batch_rate_and_length(tmp_path: Path, form: dict, overrides: dict, expected: tuple[int, float, int]):
    cfg = resolve_config(job_of(tmp_path, form, overrides=overrides), load_config)
    found = (cfg["SOLVER.IMS_PER_BATCH"], cfg["SOLVER.BASE_LR"], cfg["SOLVER.MAX_ITER"])
    assert found == pytest.approx(expected)


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


def small(**values: Any) -> Config:
    return load_config(R50).merged({key.replace("__", "."): value for key, value in values.items()}, "test")


@pytest.mark.parametrize(
    ("cfg", "names", "backbone"),
    [
        (load_config(R50), ["model_final_5bd44e.pkl", "model_final_bfca0b.pkl"], "R-50.pkl"),
        (load_config(R101), ["model_final_971ab9.pkl"], "R-101.pkl"),
        (load_config(TINY_CONFIG), [], "R-50.pkl"),
        (small(MODEL__FPN__OUT_CHANNELS=64), [], "R-50.pkl"),
        (small(MODEL__FPN__NORM="GN"), [], "R-50.pkl"),
        (small(MODEL__RETINANET__NORM="GN"), [], "R-50.pkl"),
        (small(MODEL__RESNETS__NORM="GN"), [], "R-50.pkl"),
        (small(MODEL__RESNETS__NORM="BN"), ["model_final_5bd44e.pkl", "model_final_bfca0b.pkl"], "R-50.pkl"),
        (small(MODEL__RESNETS__DEPTH=18, MODEL__WEIGHTS=""), [], ""),
    ],
    ids=[
        "R50", "R101", "narrow", "another pyramid", "a pyramid with norms", "heads with norms", "group normalisation",
        "statistics that go on", "R18",
    ],
)  # fmt: skip
def test_which_weights_are_published_for_a_network(cfg: Config, names: list[str], backbone: str):
    assert [address.rsplit("/", 1)[-1] for address in coco_weights(cfg)] == names
    assert imagenet_weights(cfg).rsplit("/", 1)[-1] == backbone


COCO_1X, IMAGENET = "model_final_bfca0b.pkl", "R-50.pkl"


def put(folder: Path, *names: str) -> None:
    """Stand-ins for published files: torch.save is read under any name."""
    (folder / "weights").mkdir()
    for name in names:
        weights = {"head.cls_score.weight": torch.zeros(720, 256, 3, 3), "head.bbox_pred.bias": torch.zeros(36)}
        torch.save({"model": weights}, folder / "weights" / name)


@pytest.mark.parametrize(
    ("form", "overrides", "expected"),
    [
        pytest.param({}, {}, COCO_1X, id="the best that is there"),
        pytest.param({"pretrained": "coco"}, {}, COCO_1X, id="coco"),
        pytest.param({"pretrained": "imagenet"}, {}, IMAGENET, id="imagenet"),
        pytest.param({"pretrained": "none"}, {}, None, id="none"),
        pytest.param({}, {"MODEL.WEIGHTS": ""}, None, id="none by args_options"),
        pytest.param({"pretrained": "coco"}, {"MODEL.WEIGHTS": "OWN"}, "own.pth", id="args_options win"),
    ],
)
def test_where_a_training_starts(tmp_path: Path, form: dict, overrides: dict, expected: str | None):
    put(tmp_path, COCO_1X, IMAGENET, "own.pth")
    overrides = {key: value.replace("OWN", str(tmp_path / "weights" / "own.pth")) for key, value in overrides.items()}
    job = job_of(tmp_path, form, overrides=overrides)
    found = initial_weights(resolve_config(job, load_config), job, ("head.cls_score.",))
    assert (found[1].name if found else None) == expected
    if found:
        state, _ = found
        assert ("head.cls_score.weight" in state) is (expected != COCO_1X), "80 classes of COCO are not these two"
        assert "head.bbox_pred.bias" in state


def test_an_empty_weights_key_of_the_config_is_an_explicit_none(tmp_path: Path):
    job = job_of(tmp_path, {}, config_file=TINY_CONFIG)
    assert initial_weights(resolve_config(job, load_config), job, ()) is None


@pytest.mark.parametrize("pretrained", ["coco", "imagenet"])
def test_what_is_not_published_is_an_error(tmp_path: Path, pretrained: str):
    config = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
    job = job_of(tmp_path, {"pretrained": pretrained}, config_file=config)
    with pytest.raises(ConfigError, match=f"pretrained: there are no published {pretrained} weights for this network"):
        initial_weights(resolve_config(job, load_config), job, ())


def test_random_weights_that_nothing_will_train_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    job = job_of(tmp_path, {"pretrained": "none"})
    with caplog.at_level(logging.INFO):
        initial_weights(resolve_config(job, load_config), job, ())
    assert "training from random weights, because of pretrained: none" in caplog.text
    assert "MODEL.BACKBONE.FREEZE_AT 2 and MODEL.RESNETS.NORM FrozenBN keep from learning" in caplog.text


def test_without_coco_weights_the_backbones_are_taken_with_a_warning_and_never_random_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for variable in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nobody listens: no way out of this machine
    job = job_of(tmp_path, {})
    cfg = resolve_config(job, load_config)
    with pytest.raises(NetworkError, match=r"R-50.pkl: cannot be downloaded"):
        initial_weights(cfg, job, ())
    (tmp_path / "weights" / IMAGENET).write_bytes(b"")
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "weights" / IMAGENET)
    caplog.clear()
    found = initial_weights(cfg, job, ())
    assert found is not None
    assert found[1].name == IMAGENET
    assert "starting from the weights of ImageNet, not of COCO" in caplog.text
