"""Detections matched to ground truth, counts and best thresholds, on sets small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluated_images import BOX, FAR, HALF, evaluated_image
from ymir_detectron2.evaluation.matching import (
    UNMATCHED,
    Counts,
    OperatingPoint,
    best_f1,
    best_f1_by_class,
    counts_by_class,
    match_image,
    match_set,
    operating_point,
)


@pytest.mark.parametrize(
    ("gt", "pred", "gt_index"),
    [
        pytest.param([], [], [], id="nothing at all"),
        pytest.param([(0, BOX)], [], [], id="no detection"),
        pytest.param([], [(0, 0.9, BOX)], [UNMATCHED], id="no object"),
        pytest.param([(0, BOX)], [(0, 0.9, HALF)], [0], id="just enough overlap"),
        pytest.param([(0, BOX)], [(0, 0.9, (0, 0, 10, 4.9))], [UNMATCHED], id="too little overlap"),
        pytest.param([(0, BOX)], [(1, 0.9, BOX)], [UNMATCHED], id="another class"),
        pytest.param([(0, BOX)], [(0, 0.4, BOX), (0, 0.9, HALF)], [UNMATCHED, 0], id="the better score has it"),
        pytest.param([(0, HALF), (0, BOX)], [(0, 0.9, BOX)], [1], id="the object with the most overlap"),
        pytest.param([(0, HALF), (0, BOX)], [(0, 0.9, BOX), (0, 0.8, BOX)], [1, 0], id="the next one when it is taken"),
        pytest.param([(0, BOX), (0, BOX)], [(0, 0.9, BOX), (0, 0.9, BOX)], [1, 0], id="twice the same"),
        pytest.param([(1, BOX), (0, BOX)], [(0, 0.9, BOX), (1, 0.9, BOX)], [1, 0], id="each class for itself"),
    ],
)
def test_each_detection_gets_one_object_of_its_class_or_none(gt, pred, gt_index: list[int]):
    assert match_image(evaluated_image(gt, pred)).tolist() == gt_index


def test_a_score_threshold_changes_no_match_above_it():
    random = np.random.default_rng(3)
    corners = random.uniform(0, 30, size=(60, 2))
    boxes = np.concatenate([corners, corners + 15], axis=1)
    gt = [(int(c), tuple(box)) for c, box in zip(random.integers(0, 2, 20), boxes[:20])]
    columns = zip(random.integers(0, 2, 40).tolist(), random.random(40).tolist(), boxes[20:].tolist())
    pred = [(class_id, score, tuple(box)) for class_id, score, box in columns]
    everything = match_image(evaluated_image(gt, pred))
    kept = [row for row in range(40) if pred[row][1] > 0.5]
    assert 0 < len(kept) < 40
    assert match_image(evaluated_image(gt, [pred[row] for row in kept])).tolist() == everything[kept].tolist()


def test_counts_of_a_set():
    """Class 0: one tp, one duplicate, one fn. Class 1: below the threshold. Class 2: one fp."""
    first = evaluated_image([(0, BOX), (0, FAR), (1, BOX)], [(0, 0.9, BOX), (0, 0.8, BOX), (1, 0.2, BOX)])
    second = evaluated_image([], [(2, 0.3, BOX)])
    matches = match_set([first, second], 4)
    assert counts_by_class(matches, 0.2) == [Counts(1, 1, 1), Counts(0, 0, 1), Counts(0, 1, 0), Counts(0, 0, 0)]
    assert operating_point(matches, 0.2) == OperatingPoint(0.2, Counts(1, 2, 2))
    assert operating_point(matches, 0.19).counts == Counts(2, 2, 1)
    assert operating_point(matches, 0.95).counts == Counts(0, 0, 3)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_counts_of_nothing(num_classes: int):
    matches = match_set([], num_classes)
    assert counts_by_class(matches) == [Counts(0, 0, 0)] * num_classes
    assert operating_point(matches) == OperatingPoint(0.2, Counts(0, 0, 0))
    assert best_f1(matches) is None


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [
        pytest.param(Counts(0, 0, 0), 0, 0, 0, id="nothing"),
        pytest.param(Counts(0, 3, 0), 0, 0, 0, id="only fp"),
        pytest.param(Counts(0, 0, 3), 0, 0, 0, id="only fn"),
        pytest.param(Counts(3, 1, 2), 0.75, 0.6, 2 / 3, id="some of each"),
    ],
)
def test_rates(counts: Counts, precision: float, recall: float, f1: float):
    assert (counts.precision, counts.recall, counts.f1) == pytest.approx((precision, recall, f1))


@pytest.mark.parametrize(
    ("objects", "pred", "best"),
    [
        # pred: (score, is it a true positive). F1 after each: 2 * tp / (detections + objects)
        pytest.param(2, [(0.9, True), (0.8, True), (0.3, False)], (0.55, Counts(2, 0, 0)), id="before the fp"),
        pytest.param(4, [(0.9, True), (0.8, True), (0.7, False), (0.6, True)], (0.3, Counts(3, 1, 1)), id="past an fp"),
        pytest.param(1, [(0.5, True), (0.5, False)], (0.25, Counts(1, 1, 0)), id="of one score, together"),
        pytest.param(2, [(0.9, True), (0.5, False), (0.4, False), (0.3, True)], (0.7, Counts(1, 0, 1)),
                     id="of equals the highest"),
        pytest.param(1, [(0.4399, True), (0.4321, False)], (0.436, Counts(1, 0, 0)), id="the shortest number between"),
        pytest.param(1, [(0.9, False)], None, id="no tp"),
        pytest.param(1, [], None, id="no detection"),
    ],
)  # fmt: skip
def test_best_threshold(objects: int, pred, best):
    places = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(objects)]
    free = iter(places)
    boxes = [(0, score, next(free) if is_tp else (0.0, 50.0, 10.0, 60.0)) for score, is_tp in pred]
    matches = match_set([evaluated_image([(0, box) for box in places], boxes)], 1)
    point = best_f1(matches)
    assert (None if point is None else (pytest.approx(point.score_threshold), point.counts)) == best


def test_the_best_threshold_of_each_class_alone():
    """Class 0 is best above 0.5, class 1 with all it has; class 2 has no true positive, class 3 nothing at all."""
    gt = [(0, BOX), (1, BOX), (2, BOX)]
    pred = [(0, 0.9, BOX), (0, 0.1, FAR), (1, 0.2, BOX), (2, 0.8, FAR)]
    matches = match_set([evaluated_image(gt, pred)], 4)
    assert best_f1_by_class(matches) == {
        0: OperatingPoint(0.5, Counts(1, 0, 0)), 1: OperatingPoint(0.1, Counts(1, 0, 0)),
    }  # fmt: skip
    assert best_f1_by_class(match_set([], 0)) == {}
    assert best_f1_by_class(match_set([evaluated_image([], [(0, 0.9, BOX)])], 1)) == {}, "no ground truth"


def test_a_single_class_has_the_best_threshold_of_all_together():
    random = np.random.default_rng(11)
    pred = [(0, float(score), BOX if score > random.random() else FAR) for score in random.random(30)]
    matches = match_set([evaluated_image([(0, BOX), (0, FAR), (0, HALF)], pred)], 1)
    assert best_f1_by_class(matches) == {0: best_f1(matches)}


def test_a_score_that_is_no_number_is_above_no_threshold():
    matches = match_set([evaluated_image([(0, BOX)], [(0, float("nan"), FAR), (0, 0.5, BOX)])], 1)
    assert best_f1(matches) == OperatingPoint(0.25, Counts(1, 0, 0))
    assert best_f1_by_class(matches) == {0: OperatingPoint(0.25, Counts(1, 0, 0))}
    assert best_f1(match_set([evaluated_image([(0, BOX)], [(0, float("nan"), BOX)])], 1)) is None
