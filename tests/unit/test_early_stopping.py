"""Early stopping, and the metric that decides about it and about the best stage."""

from __future__ import annotations

import dataclasses
import math

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
        pytest.param(0, [0.5, 0.4, 0.3, 0.2], False, id="never"),
        pytest.param(2, [0.5, 0.4, 0.6, 0.5], False, id="one evaluation since the best"),
        pytest.param(2, [0.5, 0.4, 0.4], True, id="two evaluations since the best"),
        pytest.param(2, [0.0, 0.0, 0.0], True, id="an equal value is no improvement"),
        pytest.param(1, [0.1, 0.2, 0.3], False, id="always better"),
    ],
)
def test_patience_counts_evaluations_since_the_best(patience: int, scores: list[float], expected: bool):
    stopping = EarlyStopping(patience)
    for score in scores:
        stopping.update(score)
    assert stopping.should_stop is expected
    restored = EarlyStopping(patience)
    restored.load_state_dict(stopping.state_dict())
    assert restored.should_stop is expected
