"""The config.yaml of a stage: plain YAML, which names what there is wherever the model is used."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.running import TINY_CONFIG
from ymir_detectron2.config.packed_config import packed_yaml
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config


def packed(**values: Any) -> dict[str, Any]:
    cfg = load_config(TINY_CONFIG).merged({key.replace("__", "."): value for key, value in values.items()}, "test")
    text = packed_yaml(cfg, "iter_0000120.pth")
    assert "!!" not in text
    return yaml.safe_load(text)


def test_it_names_its_weights_and_nothing_of_the_machine_that_trained_it():
    content = packed(MODEL__WEIGHTS="detectron2://ImageNetPretrained/MSRA/R-50.pkl")
    assert content["MODEL"]["WEIGHTS"] == "iter_0000120.pth"
    assert content["MODEL"]["DEVICE"] == "cpu"
    assert content["OUTPUT_DIR"] == "./output"
    assert content["DATASETS"] == {"TRAIN": ["ymir_train"], "TEST": ["ymir_val"]}


def test_all_else_is_as_in_the_training(tmp_path):
    cfg = load_config(TINY_CONFIG).merged({"INPUT.FORMAT": "RGB", "TEST.AUG.MIN_SIZES": (48, 64)}, "test")
    (tmp_path / "config.yaml").write_text(packed_yaml(cfg, "a.pth"), encoding="utf-8")
    read = load_config(tmp_path / "config.yaml")
    assert isinstance(read, RetinaNetConfig)
    assert {key: value for key, value in read.items() if cfg[key] != value} == {"MODEL.WEIGHTS": "a.pth"}


@pytest.mark.parametrize(
    ("steps", "max_iter", "packed_steps"),
    [((60, 80), 90, [60, 80]), ((1, 2), 2, [1]), ((3, 3), 5, [3]), ((0, 4), 4, []), ((1,), 1, [])],
)
def test_decays_are_such_that_the_scheduler_of_detectron2_accepts_them(steps, max_iter, packed_steps):
    """Rising, after the first and before the last step: only runs of a few steps have others."""
    assert packed(SOLVER__STEPS=steps, SOLVER__MAX_ITER=max_iter)["SOLVER"]["STEPS"] == packed_steps
