"""training-history.json: curves by step, with the values that JSON has."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.evaluation.loss_curve import MAX_POINTS, LossCurve, LossHistory
from ymir_detectron2.evaluation.training_history import NAME, read_training_history, training_history


def test_it_reads_what_it_writes_with_six_digits(tmp_path: Path):
    training = {"loss_cls": LossCurve([1, 2, 3], [1.23456789, math.nan, math.inf])}
    history = training_history(3, training, {}, {"AP": LossCurve([3], [0.5])})
    (tmp_path / NAME).write_bytes(history.as_bytes())
    read = read_training_history(tmp_path)
    assert read == history
    assert read.training_losses["loss_cls"].values == [1.23457, None, None]
    assert (read.step, read.metrics["AP"].steps) == (3, [3])
    json.loads(history.as_bytes(), parse_constant=pytest.fail)  # NaN and Infinity are no JSON


def test_however_long_a_training_is_the_file_is_small():
    losses = LossHistory()
    for step in range(1, 100_001):
        losses.add(step, {"loss_cls": 1 / step, "loss_box_reg": 2 / step})
    content = training_history(100_000, losses.curves(), {}, {}).as_bytes()
    assert len(content) < 2 * MAX_POINTS * 25


def test_without_a_file_there_is_no_history(tmp_path: Path):
    assert read_training_history(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"step": -1}, {"step": 1.5}, {"metrics": None},
        {"metrics": {"AP": {"steps": [1], "values": []}}}, {"metrics": {"AP": {"steps": [2, 1], "values": [0, 0]}}},
        {"metrics": {"AP": {"steps": [1, 1], "values": [0, 0]}}},
        {"metrics": {"AP": {"steps": [1], "values": [math.nan]}}}, {"metrics": {"AP": {"steps": [1], "values": ["a"]}}},
        {"metrics": {str(number): {"steps": [], "values": []} for number in range(999)}},
        {"metrics": {"AP": {"steps": list(range(20_000)), "values": [0] * 20_000}}},
    ],
)  # fmt: skip
def test_what_no_training_writes_is_refused(tmp_path: Path, change: dict[str, Any]):
    content = json.loads(training_history(1, {}, {}, {}).as_bytes())
    (tmp_path / NAME).write_text(json.dumps({**content, **change}))
    with pytest.raises(ExecutorError, match="is none that a training writes"):
        read_training_history(tmp_path)
