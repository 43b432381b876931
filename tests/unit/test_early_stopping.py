"""Early stopping, and the metric that decides about it and about the best stage."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ymir_detectron2.config.setting import effects_of
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.evaluation.metrics import Metrics
from ymir_detectron2.training.early_stopping import EarlyStopping, metric_value

METRICS = Metrics(0.3, 0.5, 0.2, 0.4, {}, {})


@pytest.mark.parametrize(
    ("best_metric", "expected"), [("map50", 0.5), ("map", 0.3), ("map75", 0.2), ("mar", 0.4)]
)
def test_best_metric_names_the_value(best_metric: str, expected: float):
    assert metric_value(METRICS, best_metric) == expected


def test_every_choice_of_the_form_has_a_value():
    (field,) = (field for field in dataclasses.fields(TrainSettings) if field.name == "best_metric")
    assert all(metric_value(METRICS, name) > 0 for name in effects_of(field).choices)


def test_without_an_evaluation_and_for_nan_the_value_is_0():
    assert metric_value(None, "map50") == 0
    assert metric_value(Metrics(math.nan, math.nan, math.nan, math.nan, {}, {}), "map50") == 0


@pytest.mark.parametrize(
    ("patience", "scores", "expected"),
    [
        pytest.param(0, [0.5] * 50, False, id="never"),
        pytest.param(2, [0.5, 0.5], False, id="one evaluation since the best"),
        pytest.param(2, [0.5, 0.5, 0.5], True, id="two evaluations since the best"),
        pytest.param(2, [0.5, 0.504, 0.508], True, id="means of 0.502 and 0.504: too little to count"),
        pytest.param(3, [0.5, 0.504, 0.508, 0.512], False, id="but 0.508 is enough"),
        pytest.param(1, [0.1, 0.2, 0.3, 0.4], False, id="always better"),
        pytest.param(4, [0.3, 0.4, 0.6, 0.4, 0.5, 0.5, 0.5, 0.52], False, id="a lucky one is no best for long"),
        pytest.param(2, [0.5, 0.3, 0.1], True, id="worse"),
        pytest.param(2, [0.0] * 6, False, id="nothing found yet: three times as long"),
        pytest.param(2, [0.0] * 7, True, id="nothing found at all"),
        pytest.param(2, [0.049] * 6, False, id="next to nothing"),
        pytest.param(2, [0.05] * 3, True, id="something"),
    ],
)
def test_a_plateau_is_so_many_evaluations_without_a_rise(patience: int, scores: list[float], expected: bool):
    stopping = EarlyStopping(patience)
    for score in scores:
        stopping.update(score)
    assert stopping.is_on_plateau is expected
    restored = EarlyStopping(patience)
    restored.load_state_dict(stopping.state_dict())
    assert restored.is_on_plateau is expected


def test_noise_neither_hides_a_plateau_nor_makes_one():
    """A rise of a point per evaluation under noise of two points; then, from the thirtieth on, none."""
    rising = 0.3 + 0.01 * np.arange(30)
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(0, 0.02, 60)
        stopping, first = EarlyStopping(10), 0
        for number, score in enumerate((np.concatenate([rising, np.full(30, rising[-1])]) + noise).tolist()):
            stopping.update(score)
            first = first or number * stopping.is_on_plateau
        assert 30 < first < 60, f"seed {seed}"


@pytest.mark.parametrize("recent", [[0.1] * 4, [1.5], [math.nan], ["x"], 3, [None]])
def test_evaluations_that_are_none_are_refused(recent: object):
    with pytest.raises((ValueError, TypeError)):
        EarlyStopping(2).load_state_dict({"best": 0.1, "since": 1, "recent": recent})
