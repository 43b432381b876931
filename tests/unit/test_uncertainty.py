"""Entropy and margin of the boxes of an image: the peers' number, values by hand, and more doubt gives more."""

from __future__ import annotations

import json
from math import log2
from pathlib import Path

import numpy as np
import pytest

from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.uncertainty import Entropy, Margin, margin_uncertainties, total_entropy

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mining.json").read_text(encoding="utf-8"))


def detected(probs, *, with_probs: bool = True) -> Detections:
    """One box per row of class probabilities, next to each other."""
    rows = np.array(probs, dtype=np.float64)
    rows = rows.reshape(len(rows), -1) if rows.size else np.zeros((0, 2))
    boxes = np.arange(len(rows))[:, None] * 20 + np.array([0, 0, 10, 10])
    scores = rows.max(axis=1)
    return Detections(boxes.astype(np.float32), scores, rows.argmax(axis=1), rows if with_probs else None)


def test_entropy_of_confidences_equals_that_of_the_peers():
    golden = GOLDEN["entropy_peer"]
    for with_probs in (True, False):
        detections = detected([[conf] for conf in golden["conf"]], with_probs=with_probs)
        assert total_entropy(detections) == pytest.approx(golden["score_log2"], abs=1e-12)


@pytest.mark.parametrize(
    ("probs", "expected"),
    [
        pytest.param([], 0.0, id="no detections"),
        pytest.param([[1.0, 0.0]], 0.0, id="certain: 1 log 1, 0 log 0"),
        pytest.param([[0.5, 0.5]], 1.0, id="two halves: .5 + .5"),
        pytest.param([[0.5, 0.25]], 1.0, id="a half and a quarter: .5 * 1 + .25 * 2"),
        pytest.param([[0.5, 0.0], [0.25, 0.0]], 1.0, id="the same in two boxes"),
        pytest.param([[0.9, 0.0]], -0.9 * log2(0.9), id="one class alone"),
    ],
)
def test_entropy_by_hand(probs, expected):
    entropy = Entropy().score_image("a", detected(probs), [None])
    assert entropy == pytest.approx(expected, abs=1e-12)
    assert str(entropy) != "-0.0"


@pytest.mark.parametrize(
    ("probs", "expected"),
    [
        pytest.param([[1.0, 0.0]], 0.0, id="certain: (1 - (1 - 0))^2"),
        pytest.param([[0.5, 0.5]], 1.0, id="two classes alike"),
        pytest.param([[0.5]], 1.0, id="one class, as likely as the background"),
        pytest.param([[0.9, 0.6]], 0.49, id="second class at .6: (1 - .3)^2"),
        pytest.param([[0.9, 0.05]], 0.04, id="background at .1: (1 - .8)^2"),
        pytest.param([[0.3, 0.1]], 0.36, id="background at .7 leads: (1 - .4)^2"),
    ],
)
def test_margin_by_hand(probs, expected):
    assert margin_uncertainties(detected(probs)) == pytest.approx([expected], abs=1e-12)


def test_margin_without_class_probabilities_is_that_against_the_background():
    assert margin_uncertainties(detected([[0.9], [0.3]], with_probs=False)) == pytest.approx([0.04, 0.36], abs=1e-12)


def test_image_has_the_uncertainty_of_its_most_doubtful_box():
    assert Margin().score_image("a", detected([[0.95, 0.0], [0.9, 0.6], [0.99, 0.0]]), [None]) == pytest.approx(0.49)
    assert Margin().score_image("a", detected([]), [None]) == 0.0


@pytest.mark.parametrize("algorithm", [Entropy(), Margin()], ids=["entropy", "margin"])
@pytest.mark.parametrize("with_probs", [True, False])
def test_more_doubt_gives_a_higher_score(algorithm, with_probs):
    ladder = [[0.99, 0.01], [0.9, 0.05], [0.75, 0.1], [0.6, 0.3]]
    scores = [algorithm.score_image("a", detected([row], with_probs=with_probs), [None]) for row in ladder]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


@pytest.mark.parametrize("algorithm", [Entropy(), Margin()], ids=["entropy", "margin"])
def test_boxes_that_are_not_finite_do_not_count(algorithm):
    broken = detected([[0.9, 0.6], [np.nan, 0.5]])
    assert algorithm.score_image("a", broken, [None]) == algorithm.score_image("a", detected([[0.9, 0.6]]), [None])
    assert algorithm.score_image("a", detected([[np.nan, np.inf]]), [None]) == 0.0
