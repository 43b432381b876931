"""The keys of inference and mining: those of inference are valid in mining, and most decide about predictions."""

from __future__ import annotations

import dataclasses

import pytest

from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS
from ymir_detectron2.config.prediction_settings import InferSettings, MiningSettings
from ymir_detectron2.config.read_settings import values_where
from ymir_detectron2.config.setting import effects_of


def test_mining_has_the_keys_of_inference_for_both_may_share_one_config():
    names = [[field.name for field in dataclasses.fields(settings)] for settings in (MiningSettings, InferSettings)]
    assert names[0][: len(names[1])] == names[1]


@pytest.mark.parametrize(
    ("settings_class", "expected"),
    [
        (InferSettings, {"num_workers", "args_options"}),
        (MiningSettings, {"num_workers", "args_options", "diversity_distance", "diversity_pool", "empty_images"}),
    ],
)
def test_settings_that_affect_no_prediction(settings_class: type, expected: set[str]):
    assert set(values_where(settings_class(), lambda effects: not effects.affects_predictions)) == expected


def test_the_choices_of_the_mining_algorithm_are_the_table():
    field = next(field for field in dataclasses.fields(MiningSettings) if field.name == "mining_algorithm")
    assert effects_of(field).choices == tuple(MINING_ALGORITHMS)
