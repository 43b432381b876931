"""CALD's arithmetic against the peers' numbers, values worked out by hand, and its own symmetries."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.scores import (
    consistency,
    distinct_best_first,
    evenly_thinned,
    finite_only,
    jensen_shannon,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mining.json").read_text(encoding="utf-8"))
SQUARE = [0, 0, 10, 10]
UPPER_HALF = [0, 0, 10, 5]
ELSEWHERE = [50, 50, 60, 60]


def detected(boxes, scores, classes=None, probs=None) -> Detections:
    """Detections from plain lists; class 0 unless given."""
    return Detections(
        boxes_xyxy=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores, dtype=np.float64),
        classes=np.zeros(len(scores), dtype=np.int64) if classes is None else np.array(classes, dtype=np.int64),
        class_probs=None if probs is None else np.array(probs, dtype=np.float64),
    )


def random_detections(rng: np.random.Generator, count: int, with_probs: bool) -> Detections:
    """Boxes on a coarse grid, so that equal overlaps and exact copies happen; distinct scores."""
    corner = rng.integers(0, 4, size=(count, 2)) * 10
    size = rng.integers(1, 3, size=(count, 2)) * 10
    probs = rng.uniform(0.05, 0.95, size=(count, 3))
    classes = probs.argmax(axis=1)
    return detected(np.hstack([corner, corner + size]), probs.max(axis=1), classes, probs if with_probs else None)


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
    reference = detected(case["ref_boxes_in_aug_frame"], case["ref_conf"])
    augmented = detected(case["aug_boxes"], case["aug_conf"])
    assert consistency(reference, augmented) == pytest.approx(case["fixed_min_only"], abs=1e-6)


JS_9_2 = (0.9 * log(0.9 / 0.55) + 0.1 * log(0.1 / 0.45) + 0.2 * log(0.2 / 0.55) + 0.8 * log(0.8 / 0.45)) / 2
JS_SWAP = 0.8 * log(0.8 / 0.5) + 0.2 * log(0.2 / 0.5)


@pytest.mark.parametrize(
    ("reference", "augmented", "expected"),
    [
        pytest.param(Detections.empty(), Detections.empty(), 0.0, id="no detections on either side"),
        pytest.param(Detections.empty(), detected([SQUARE], [0.9]), 0.0, id="no reference"),
        pytest.param(detected([SQUARE], [0.9]), Detections.empty(), 0.0, id="not detected again"),
        pytest.param(detected([SQUARE], [0.9]), detected([SQUARE], [0.9]), 0.6, id="detected again: |1 + .9 - 1.3|"),
        pytest.param(detected([SQUARE], [0.8]), detected([UPPER_HALF], [0.8]), 0.0, id="half the box: |.5 + .8 - 1.3|"),
        pytest.param(detected([SQUARE], [0.9]), detected([ELSEWHERE], [0.9]), 0.4, id="elsewhere: |0 + .9 - 1.3|"),
        pytest.param(detected([SQUARE], [0.1]), detected([ELSEWHERE], [0.1]), 1.0, id="ceiling: |0 + .1 - 1.3| > 1"),
        pytest.param(
            detected([SQUARE], [0.9]),
            detected([SQUARE], [0.2]),
            abs(1 + 0.55 * (1 - JS_9_2) - 1.3),
            id="lower score: P = (.9 + .2) / 2, m = .55 .45",
        ),
        pytest.param(
            detected([SQUARE], [0.9], [0]),
            detected([SQUARE], [0.9], [1]),
            abs(1 + 0.9 * (1 - 0.9 * log(2)) - 1.3),
            id="other class: .9 0 .1 against 0 .9 .1, JS = .9 ln 2",
        ),
        pytest.param(
            detected([SQUARE], [0.8], probs=[[0.8, 0.2]]),
            detected([SQUARE], [0.8], probs=[[0.2, 0.8]]),
            abs(1 + 0.8 * (1 - JS_SWAP) - 1.3),
            id="other class by its probabilities: m = 1/2 1/2",
        ),
        pytest.param(
            detected([SQUARE], [0.3], probs=[[0.3, 0.7]]),
            detected([SQUARE], [0.3], probs=[[0.3, 0.7]]),
            0.4,
            id="P is the largest probability: |1 + .7 - 1.3|",
        ),
        pytest.param(
            detected([SQUARE, ELSEWHERE], [0.9, 0.5]),
            detected([SQUARE, ELSEWHERE], [0.9, 0.5]),
            0.2,
            id="least box counts: min(|1.9 - 1.3|, |1.5 - 1.3|)",
        ),
        pytest.param(
            detected([SQUARE], [0.9]),
            detected([ELSEWHERE, UPPER_HALF, SQUARE], [0.9, 0.9, 0.9]),
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
    shuffled = consistency(reference.take(rng.permutation(7)), augmented.take(rng.permutation(9)))
    doubled = consistency(reference.take(rng.integers(0, 7, 30)), augmented.take(np.arange(27) % 9))
    assert shuffled == pytest.approx(expected, abs=1e-12)
    assert consistency(reference, augmented.take(np.arange(27) % 9)) == pytest.approx(expected, abs=1e-12)
    assert doubled >= expected - 1e-12, "a draw of the reference boxes may lack some, never add one"


@pytest.mark.parametrize("with_probs", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_another_predicted_class_changes_consistency(seed, with_probs):
    """Every object is detected again at its place; only its class differs."""
    here = random_detections(np.random.default_rng(seed), 1, with_probs)
    probs = None if here.class_probs is None else np.roll(here.class_probs, 1, axis=1)
    renamed = Detections(here.boxes_xyxy, here.scores, (here.classes + 1) % 3, probs)
    assert abs(consistency(here, here) - consistency(here, renamed)) > 1e-3


def test_copies_go_and_the_best_score_comes_first():
    detections = detected([SQUARE, ELSEWHERE, SQUARE, SQUARE], [0.5, 0.9, 0.5, 0.5], [0, 0, 0, 1])
    distinct = distinct_best_first(detections)
    assert distinct.scores.tolist() == [0.9, 0.5, 0.5]
    assert distinct.classes.tolist() == [0, 0, 1]
    assert len(distinct_best_first(Detections.empty())) == 0


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
    thinned = evenly_thinned(detected(np.tile(SQUARE, (count, 1)), scores))
    assert len(thinned) == kept
    if count:
        assert thinned.scores[[0, -1]].tolist() == scores[[0, -1]].tolist()


def test_thinning_keeps_the_ranks_of_the_authors_code():
    """round(linspace(0, 98, 50)) is every second of 99."""
    thinned = evenly_thinned(detected(np.tile(SQUARE, (99, 1)), np.zeros(99), classes=np.arange(99)))
    assert thinned.classes.tolist() == list(range(0, 99, 2))


def test_boxes_that_are_not_numbers_are_no_boxes():
    boxes = [SQUARE, [0, 0, np.nan, 1], SQUARE, SQUARE]
    probs = [[0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [np.inf, 0.2]]
    assert len(finite_only(detected(boxes, [0.9, 0.9, np.nan, 0.9], probs=probs))) == 1
    assert len(finite_only(Detections.empty())) == 0
