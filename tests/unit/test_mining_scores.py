"""CALD's arithmetic against the peers' numbers, against values worked out by hand, and against its own symmetries."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from ymir_detectron2.engines.base import Detections
from ymir_detectron2.mining.scores import (
    consistency,
    distinct_best_first,
    evenly_thinned,
    finite_only,
    jensen_shannon,
    pairwise_iou,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mining.json").read_text(encoding="utf-8"))
SQUARE = [0, 0, 10, 10]
UPPER_HALF = [0, 0, 10, 5]
ELSEWHERE = [50, 50, 60, 60]


def found(boxes, scores, classes=None, probs=None) -> Detections:
    """Detections from plain lists; class 0 unless said otherwise."""
    return Detections(
        boxes_xyxy=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores, dtype=np.float64),
        classes=np.zeros(len(scores), dtype=np.int64) if classes is None else np.array(classes, dtype=np.int64),
        class_probs=None if probs is None else np.array(probs, dtype=np.float64),
    )


def nothing() -> Detections:
    return found([], [])


def random_detections(rng: np.random.Generator, count: int, with_probs: bool) -> Detections:
    """Boxes on a coarse grid, so that equal overlaps and exact copies happen; distinct scores."""
    corner = rng.integers(0, 4, size=(count, 2)) * 10
    size = rng.integers(1, 3, size=(count, 2)) * 10
    probs = rng.uniform(0.05, 0.95, size=(count, 3))
    classes = probs.argmax(axis=1)
    return found(np.hstack([corner, corner + size]), probs.max(axis=1), classes, probs if with_probs else None)


def reordered(detections: Detections, index) -> Detections:
    probs = detections.class_probs
    return Detections(
        detections.boxes_xyxy[index],
        detections.scores[index],
        detections.classes[index],
        None if probs is None else probs[index],
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param([], [], np.zeros((0, 0)), id="both empty"),
        pytest.param([], [SQUARE, SQUARE], np.zeros((0, 2)), id="first empty"),
        pytest.param([SQUARE], [], np.zeros((1, 0)), id="second empty"),
        pytest.param([SQUARE], [SQUARE], [[1.0]], id="same: 100 / 100"),
        pytest.param([SQUARE], [UPPER_HALF, ELSEWHERE], [[0.5, 0.0]], id="half: 50 / 100, then apart"),
        pytest.param([SQUARE], [[5, 5, 15, 15]], [[25 / 175]], id="corner: 25 / (100 + 100 - 25)"),
        pytest.param([SQUARE], [[10, 0, 20, 10]], [[0.0]], id="touching edges share nothing"),
        pytest.param([[3, 3, 3, 3]], [[3, 3, 3, 3]], [[0.0]], id="no area: 0 / 1e-14, not NaN"),
        pytest.param([SQUARE], [[10, 10, 0, 0]], [[0.0]], id="swapped corners"),
    ],
)
def test_overlap_is_intersection_over_union(a, b, expected):
    assert pairwise_iou(np.array(a), np.array(b)) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        pytest.param([1.0, 0.0], [1.0, 0.0], 0.0, id="equal"),
        pytest.param([0.2, 0.1], [0.4, 0.2], 0.0, id="proportional: renormalised, as SciPy"),
        pytest.param([1.0, 0.0], [0.0, 1.0], log(2), id="disjoint: (ln 2 + ln 2) / 2"),
        pytest.param([0.9, 0.1], [0.1, 0.9], 0.9 * log(0.9 / 0.5) + 0.1 * log(0.1 / 0.5), id="swapped, m = 1/2 1/2"),
        pytest.param(
            [0.4, 0.0],
            [0.0, 0.8],
            (log(3) + log(3 / 2)) / 2,
            id="unequal sums: m = .2 .4 -> 1/3 2/3; (1 ln 3 + 1 ln 3/2) / 2",
        ),
        pytest.param([0.0, 0.0], [0.5, 0.5], 0.0, id="zeros diverge from nothing"),
        pytest.param([0.0, 0.0], [0.0, 0.0], 0.0, id="zeros twice"),
        pytest.param([5e-324, 1.0], [0.0, 1.0], 0.0, id="the smallest number there is"),
    ],
)
def test_divergence_by_hand(p, q, expected):
    assert jensen_shannon(np.array(p), np.array(q)) == pytest.approx(expected, abs=1e-12)
    assert jensen_shannon(np.array(q), np.array(p)) == pytest.approx(expected, abs=1e-12)


def test_divergence_equals_that_of_the_authors_code():
    golden = GOLDEN["official_js_unnormalised_sigmoid_vec"]
    assert jensen_shannon(np.array(golden["p"]), np.array(golden["q"])) == pytest.approx(golden["js"], abs=1e-12)


def test_divergence_works_row_by_row_and_is_never_negative():
    p, q = np.random.default_rng(0).uniform(size=(2, 500, 80))
    q[:250] = p[:250] * 0.3
    rows = jensen_shannon(p, q)
    assert rows.shape == (500,)
    assert rows.min() >= 0.0
    assert rows[:250].max() < 1e-12
    assert [float(jensen_shannon(a, b)) for a, b in zip(p, q)] == pytest.approx(rows.tolist(), abs=1e-15)


@pytest.mark.parametrize("case", GOLDEN["cald_one_augmentation"], ids=lambda case: f"{len(case['ref_conf'])} boxes")
def test_without_class_probs_consistency_equals_the_peers_formula(case):
    """Their minimum over boxes, for boxes of one class; 1e-6 because their confidences are float32."""
    reference = found(case["ref_boxes_in_aug_frame"], case["ref_conf"])
    augmented = found(case["aug_boxes"], case["aug_conf"])
    assert consistency(reference, augmented) == pytest.approx(case["fixed_min_only"], abs=1e-6)


JS_9_2 = (0.9 * log(0.9 / 0.55) + 0.1 * log(0.1 / 0.45) + 0.2 * log(0.2 / 0.55) + 0.8 * log(0.8 / 0.45)) / 2
JS_SWAP = 0.8 * log(0.8 / 0.5) + 0.2 * log(0.2 / 0.5)


@pytest.mark.parametrize(
    ("reference", "augmented", "expected"),
    [
        pytest.param(nothing(), nothing(), 0.0, id="nothing anywhere"),
        pytest.param(nothing(), found([SQUARE], [0.9]), 0.0, id="no reference"),
        pytest.param(found([SQUARE], [0.9]), nothing(), 0.0, id="nothing found again"),
        pytest.param(found([SQUARE], [0.9]), found([SQUARE], [0.9]), 0.6, id="found again: |1 + .9 - 1.3|"),
        pytest.param(found([SQUARE], [0.8]), found([UPPER_HALF], [0.8]), 0.0, id="half the box: |.5 + .8 - 1.3|"),
        pytest.param(found([SQUARE], [0.9]), found([ELSEWHERE], [0.9]), 0.4, id="elsewhere: |0 + .9 - 1.3|"),
        pytest.param(found([SQUARE], [0.1]), found([ELSEWHERE], [0.1]), 1.0, id="ceiling: |0 + .1 - 1.3| > 1"),
        pytest.param(
            found([SQUARE], [0.9]),
            found([SQUARE], [0.2]),
            abs(1 + 0.55 * (1 - JS_9_2) - 1.3),
            id="less sure: P = (.9 + .2) / 2, m = .55 .45",
        ),
        pytest.param(
            found([SQUARE], [0.9], [0]),
            found([SQUARE], [0.9], [1]),
            abs(1 + 0.9 * (1 - 0.9 * log(2)) - 1.3),
            id="other class: .9 0 .1 against 0 .9 .1, JS = .9 ln 2",
        ),
        pytest.param(
            found([SQUARE], [0.8], probs=[[0.8, 0.2]]),
            found([SQUARE], [0.8], probs=[[0.2, 0.8]]),
            abs(1 + 0.8 * (1 - JS_SWAP) - 1.3),
            id="other class by its probabilities: m = 1/2 1/2",
        ),
        pytest.param(
            found([SQUARE], [0.3], probs=[[0.3, 0.7]]),
            found([SQUARE], [0.3], probs=[[0.3, 0.7]]),
            0.4,
            id="P is the largest probability: |1 + .7 - 1.3|",
        ),
        pytest.param(
            found([SQUARE, ELSEWHERE], [0.9, 0.5]),
            found([SQUARE, ELSEWHERE], [0.9, 0.5]),
            0.2,
            id="least box counts: min(|1.9 - 1.3|, |1.5 - 1.3|)",
        ),
        pytest.param(
            found([SQUARE], [0.9]),
            found([ELSEWHERE, UPPER_HALF, SQUARE], [0.9, 0.9, 0.9]),
            0.6,
            id="the best overlap is the match",
        ),
    ],
)
def test_consistency_by_hand(reference, augmented, expected):
    assert consistency(reference, augmented) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("with_probs", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_box_order_and_copies_do_not_change_consistency(seed, with_probs):
    rng = np.random.default_rng(seed)
    reference, augmented = random_detections(rng, 7, with_probs), random_detections(rng, 9, with_probs)
    expected = consistency(reference, augmented)
    shuffled = consistency(reordered(reference, rng.permutation(7)), reordered(augmented, rng.permutation(9)))
    doubled = consistency(reordered(reference, rng.integers(0, 7, 30)), reordered(augmented, np.arange(27) % 9))
    assert shuffled == pytest.approx(expected, abs=1e-12)
    assert consistency(reference, reordered(augmented, np.arange(27) % 9)) == pytest.approx(expected, abs=1e-12)
    assert doubled >= expected - 1e-12, "a draw of the reference boxes may lack some, never add one"


@pytest.mark.parametrize("with_probs", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_another_predicted_class_changes_consistency(seed, with_probs):
    """Every object is found again at its place; only what it is called differs."""
    here = random_detections(np.random.default_rng(seed), 1, with_probs)
    probs = None if here.class_probs is None else np.roll(here.class_probs, 1, axis=1)
    renamed = Detections(here.boxes_xyxy, here.scores, (here.classes + 1) % 3, probs)
    assert abs(consistency(here, here) - consistency(here, renamed)) > 1e-3


def test_copies_go_and_the_best_score_comes_first():
    detections = found([SQUARE, ELSEWHERE, SQUARE, SQUARE], [0.5, 0.9, 0.5, 0.5], [0, 0, 0, 1])
    distinct = distinct_best_first(detections)
    assert distinct.scores.tolist() == [0.9, 0.5, 0.5]
    assert distinct.classes.tolist() == [0, 0, 1]
    assert len(distinct_best_first(nothing())) == 0


@pytest.mark.parametrize(
    ("count", "kept"),
    [
        pytest.param(0, 0, id="none"),
        pytest.param(40, 40, id="40 stay"),
        pytest.param(41, 41, id="41: 50 ranks fall on 41 boxes"),
        pytest.param(50, 50, id="50"),
        pytest.param(100, 50, id="100: 50"),
    ],
)
def test_many_boxes_are_thinned_evenly(count, kept):
    scores = np.linspace(1.0, 0.5, count)
    thinned = evenly_thinned(found(np.tile(SQUARE, (count, 1)), scores))
    assert len(thinned) == kept
    if count:
        assert thinned.scores[[0, -1]].tolist() == scores[[0, -1]].tolist()


def test_thinning_keeps_the_ranks_of_the_authors_code():
    """round(linspace(0, 98, 50)) is every second of 99."""
    thinned = evenly_thinned(found(np.tile(SQUARE, (99, 1)), np.zeros(99), classes=np.arange(99)))
    assert thinned.classes.tolist() == list(range(0, 99, 2))


def test_boxes_that_are_not_numbers_are_no_boxes():
    boxes = [SQUARE, [0, 0, np.nan, 1], SQUARE, SQUARE]
    probs = [[0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [np.inf, 0.2]]
    assert len(finite_only(found(boxes, [0.9, 0.9, np.nan, 0.9], probs=probs))) == 1
    assert len(finite_only(nothing())) == 0
