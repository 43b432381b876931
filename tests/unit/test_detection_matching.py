"""Found boxes and objects, matched and counted, on sets small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.judged_pictures import BOX, FAR, HALF, judged_picture
from ymir_detectron2.evaluation.matching import (
    NO_OBJECT,
    Counts,
    OperatingPoint,
    best_f1,
    counts_by_class,
    match_picture,
    match_set,
    operating_point,
    pairwise_iou,
)


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        pytest.param(BOX, 1, id="the same"),
        pytest.param(HALF, 0.5, id="half of it"),
        pytest.param((5, 0, 15, 10), 1 / 3, id="shifted by half"),
        pytest.param((10, 0, 20, 10), 0, id="side by side"),
        pytest.param((3, 3, 3, 3), 0, id="without area"),
    ],
)
def test_overlap(other, iou: float):
    assert pairwise_iou(np.array([BOX], dtype=float), np.array([other], dtype=float))[0, 0] == pytest.approx(iou)


def test_overlap_of_nothing():
    assert pairwise_iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


def test_overlap_of_more_boxes_than_are_looked_at_together():
    """Box i is 10 wide and 10 further to the right than the one before; shifted by 5 it overlaps two by a third."""
    boxes = np.array([(10.0 * i, 0, 10.0 * i + 10, 10) for i in range(700)])
    iou = pairwise_iou(boxes, boxes + np.array([5, 0, 5, 0]))
    expected = (np.eye(700) + np.eye(700, k=-1)) / 3
    np.testing.assert_allclose(iou, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("truth", "found", "objects"),
    [
        pytest.param([], [], [], id="nothing at all"),
        pytest.param([(0, BOX)], [], [], id="nothing found"),
        pytest.param([], [(0, 0.9, BOX)], [NO_OBJECT], id="nothing there"),
        pytest.param([(0, BOX)], [(0, 0.9, HALF)], [0], id="just enough overlap"),
        pytest.param([(0, BOX)], [(0, 0.9, (0, 0, 10, 4.9))], [NO_OBJECT], id="too little overlap"),
        pytest.param([(0, BOX)], [(1, 0.9, BOX)], [NO_OBJECT], id="another class"),
        pytest.param([(0, BOX)], [(0, 0.4, BOX), (0, 0.9, HALF)], [NO_OBJECT, 0], id="the better score has it"),
        pytest.param([(0, HALF), (0, BOX)], [(0, 0.9, BOX)], [1], id="the object with the most overlap"),
        pytest.param([(0, HALF), (0, BOX)], [(0, 0.9, BOX), (0, 0.8, BOX)], [1, 0], id="the next one when it is taken"),
        pytest.param([(0, BOX), (0, BOX)], [(0, 0.9, BOX), (0, 0.9, BOX)], [1, 0], id="twice the same"),
        pytest.param([(1, BOX), (0, BOX)], [(0, 0.9, BOX), (1, 0.9, BOX)], [1, 0], id="each class for itself"),
    ],
)
def test_which_box_stands_for_which_object(truth, found, objects: list[int]):
    assert match_picture(judged_picture(truth, found))[0].tolist() == objects


def test_ranks_count_within_a_class():
    found = [(0, 0.5, BOX), (1, 0.6, BOX), (0, 0.9, FAR), (0, 0.5, FAR)]
    assert match_picture(judged_picture([], found))[1].tolist() == [1, 0, 0, 2]


def test_a_threshold_changes_no_match_above_it():
    random = np.random.default_rng(3)
    corners = random.uniform(0, 30, size=(60, 2))
    boxes = np.concatenate([corners, corners + 15], axis=1)
    truth = [(int(c), tuple(box)) for c, box in zip(random.integers(0, 2, 20), boxes[:20])]
    columns = zip(random.integers(0, 2, 40).tolist(), random.random(40).tolist(), boxes[20:].tolist())
    found = [(class_id, score, tuple(box)) for class_id, score, box in columns]
    everything = match_picture(judged_picture(truth, found))[0]
    kept = [row for row in range(40) if found[row][1] > 0.5]
    assert 0 < len(kept) < 40
    assert match_picture(judged_picture(truth, [found[row] for row in kept]))[0].tolist() == everything[kept].tolist()


def test_counts_of_a_set():
    """Class 0: one right, one twice, one missed. Class 1: below the threshold. Class 2: one that is not there."""
    first = judged_picture([(0, BOX), (0, FAR), (1, BOX)], [(0, 0.9, BOX), (0, 0.8, BOX), (1, 0.2, BOX)])
    second = judged_picture([], [(2, 0.3, BOX)])
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
        pytest.param(Counts(0, 3, 0), 0, 0, 0, id="all false"),
        pytest.param(Counts(0, 0, 3), 0, 0, 0, id="all missed"),
        pytest.param(Counts(3, 1, 2), 0.75, 0.6, 2 / 3, id="some of each"),
    ],
)
def test_rates(counts: Counts, precision: float, recall: float, f1: float):
    assert (counts.precision, counts.recall, counts.f1) == pytest.approx((precision, recall, f1))


@pytest.mark.parametrize(
    ("objects", "found", "best"),
    [
        # found: (score, right). F1 after each: 2 * right / (found + objects)
        pytest.param(2, [(0.9, True), (0.8, True), (0.3, False)], (0.55, Counts(2, 0, 0)), id="before the false one"),
        pytest.param(
            4, [(0.9, True), (0.8, True), (0.7, False), (0.6, True)], (0.3, Counts(3, 1, 1)), id="past a false one"
        ),
        pytest.param(1, [(0.5, True), (0.5, False)], (0.25, Counts(1, 1, 0)), id="of one score, together"),
        pytest.param(2, [(0.9, True), (0.5, False), (0.4, False), (0.3, True)], (0.7, Counts(1, 0, 1)),
                     id="of equals the highest"),
        pytest.param(1, [(0.4399, True), (0.4321, False)], (0.436, Counts(1, 0, 0)), id="the shortest number between"),
        pytest.param(1, [(0.9, False)], None, id="nothing right"),
        pytest.param(1, [], None, id="nothing found"),
    ],
)  # fmt: skip
def test_best_threshold(objects: int, found, best):
    places = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(objects)]
    free = iter(places)
    boxes = [(0, score, next(free) if right else (0.0, 50.0, 10.0, 60.0)) for score, right in found]
    matches = match_set([judged_picture([(0, box) for box in places], boxes)], 1)
    point = best_f1(matches)
    assert (None if point is None else (pytest.approx(point.score_threshold), point.counts)) == best
