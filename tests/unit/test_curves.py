"""Rates over the score threshold, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.evaluation.curves import confidence_curve
from ymir_detectron2.evaluation.matching import UNMATCHED, Matches


def one_class(objects: int, *pred: tuple[float, bool]) -> Matches:
    """All in one image: (score, whether it is a true positive), best first."""
    return Matches(
        starts=np.array([0, len(pred)]),
        scores=np.array([score for score, _ in pred], dtype=np.float64),
        classes=np.zeros(len(pred), dtype=np.int64),
        gt_index=np.array([i if is_tp else UNMATCHED for i, (_, is_tp) in enumerate(pred)], dtype=np.int64),
        gt_counts=np.array([objects, 0]),
    )


def test_confidence_of_nothing_is_an_empty_curve():
    for matches in (one_class(0), one_class(3)):
        assert [len(column) for column in confidence_curve(matches)] == [0, 0, 0, 0]


def test_confidence():
    """Two objects; a tp at 0.9, an fp at 0.5: above 0.5 the precision is one of one, below it one of two."""
    curve = confidence_curve(one_class(2, (0.9, True), (0.5, False)))
    assert curve.thresholds == pytest.approx(np.arange(90) / 100)
    assert curve.precision == pytest.approx([0.5] * 50 + [1] * 40)
    assert curve.recall == pytest.approx([0.5] * 90)
    assert curve.f1 == pytest.approx([0.5] * 50 + [2 / 3] * 40)


def test_without_objects_every_detection_is_a_false_positive():
    curve = confidence_curve(one_class(0, (0.03, False)))
    assert [column.tolist() for column in curve[1:]] == [[0, 0, 0]] * 3
