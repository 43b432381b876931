"""The greedy order by hand, against the plain definition, and what holds for any candidates."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from ymir_detectron2.mining.peaks import as_directions
from ymir_detectron2.mining.submodular import CHOSEN_PROB, Candidates, Labelled, Terms, greedy_picks


def candidates(peaks: list[list[tuple[float, int]]], features: Any = None) -> Candidates:
    """Probability and class of the peaks of each image, and their features, (n, T, D)."""
    count = max((len(one) for one in peaks), default=0)
    padded = [[*one, *[(0.0, 0)] * (count - len(one))] for one in peaks]
    array = np.array(padded, dtype=np.float64).reshape(len(peaks), count, 2)
    vectors = np.zeros((len(peaks), count, 0)) if features is None else np.array(features, dtype=np.float64)
    directions = as_directions(vectors.reshape(len(peaks) * count, vectors.shape[2])).reshape(vectors.shape)
    return Candidates(array[:, :, 0], array[:, :, 1].astype(np.int64), directions, np.zeros(len(peaks), bool))


def labelled(images: list[float], weights: list[float] | None = None, features: Any = (), dim: int = 0) -> Labelled:
    directions = as_directions(np.array(features, dtype=np.float64).reshape(-1, dim) if dim else np.zeros((0, 0)))
    return Labelled(np.array(images, np.float64), np.array(weights or [1.0] * len(images)), directions)


def order(*arguments: Any, **more: Any) -> list[int]:
    return [pick.candidate for pick in greedy_picks(*arguments, **more)]


def test_gains_by_hand():
    """w p / sqrt(1 + T): 0.5 / 1 + 2 * 0.25 / 2."""
    (pick,) = greedy_picks(candidates([[(0.5, 0), (0.25, 1)]]), labelled([0.0, 3.0], [1.0, 2.0]))
    assert pick.gain == pytest.approx(0.75)


def test_returns_diminish():
    """Two images hold class 0 surely, one class 1 with 0.8: after one of class 0, that is worth more."""
    three = candidates([[(1.0, 0)], [(1.0, 0)], [(0.8, 1)]])
    picks = list(greedy_picks(three, labelled([0.0, 0.0])))
    assert [pick.candidate for pick in picks] == [0, 2, 1]
    assert [pick.gain for pick in picks] == pytest.approx([1.0, 0.8, 1 / math.sqrt(2)])
    assert order(three, labelled([0.0, 0.0]), terms=Terms(balance=False)) == [0, 1, 2]


def test_classes_are_balanced_against_what_is_labelled():
    """Of class 0 there are 99 images: a sure peak of it counts a tenth, less than a doubtful one of the other class."""
    picks = list(greedy_picks(candidates([[(1.0, 0)], [(0.2, 1)]]), labelled([99.0, 0.0])))
    assert [pick.candidate for pick in picks] == [1, 0]
    assert [pick.gain for pick in picks] == pytest.approx([0.2, 0.1])


def test_difficult_classes_weigh_more():
    two = candidates([[(0.5, 0)], [(0.5, 1)]])
    assert order(two, labelled([0.0, 0.0], [1.0, 1.5])) == [1, 0]
    assert order(two, labelled([0.0, 0.0], [1.0, 1.5]), terms=Terms(class_weights=False)) == [0, 1]


def test_probabilities_count():
    two = candidates([[(0.2, 0)], [(0.5, 0)]])
    assert order(two, labelled([0.0])) == [1, 0]
    assert order(two, labelled([0.0]), terms=Terms(probability=False)) == [0, 1]


def test_copies_add_nothing():
    """The second image is a copy of the first; the third is worth less, but looks different."""
    three = candidates([[(0.9, 0)], [(0.9, 0)], [(0.2, 0)]], [[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    picks = list(greedy_picks(three, labelled([0.0], dim=2)))
    assert [pick.candidate for pick in picks] == [0, 2, 1]
    assert [pick.parts.novelty for pick in picks] == [None, 1.0, 0.0]
    assert [pick.parts.nearest for pick in picks] == [None, None, 0]
    assert picks[2].gain == 0.0
    assert picks[2].parts.gain > 0.5, "without the novelty"
    assert order(three, labelled([0.0], dim=2), terms=Terms(novelty=False)) == [0, 1, 2]


def test_an_image_with_something_new_in_it_is_new_in_that_part_only():
    two = candidates([[(0.5, 0), (0.5, 0)]], [[[1.0, 0.0], [0.0, 1.0]]])
    (pick,) = greedy_picks(two, labelled([0.0], features=[[1.0, 0.0]], dim=2))
    assert pick.gain == pytest.approx(0.5)
    assert pick.parts.novelty == pytest.approx(0.5)


def test_peaks_like_labelled_ones_come_later():
    two = candidates([[(0.9, 0)], [(0.5, 0)]], [[[1.0, 0.0]], [[0.0, 1.0]]])
    assert order(two, labelled([0.0], dim=2)) == [0, 1]
    assert order(two, labelled([0.0], features=[[1.0, 0.0]], dim=2)) == [1, 0]


def test_weak_peaks_of_a_chosen_image_make_nothing_less_new():
    """But they count for the balance of their class."""
    weak = CHOSEN_PROB / 2
    vectors = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]]
    two = candidates([[(0.9, 0), (weak, 0)], [(0.5, 0), (0.0, 0)]], vectors)
    picks = list(greedy_picks(two, labelled([0.0], dim=2)))
    assert picks[1].gain == pytest.approx(0.5 / math.sqrt(1.9 + weak))


def test_empty_images_are_neither_all_first_nor_all_last():
    """One with a faint peak of something new comes before the last of ten images that are alike, one with none last."""
    faint, alike = [[0.0, 1.0]], [[1.0, 0.05]]
    many = candidates([[(0.9, 0)]] * 10 + [[(0.05, 1)], [(0.0, 0)]], [alike] * 10 + [faint, [[0.0, 0.0]]])
    found = order(many, labelled([0.0, 0.0], dim=2))
    assert found[:2] == [0, 10]
    assert found[-1] == 11


def test_later_ones_follow_when_all_others_are_chosen():
    four = candidates([[(0.9, 0)], [(0.8, 0)], [(0.7, 0)], [(0.6, 0)]])
    assert order(four, labelled([0.0]), np.array([True, False, True, False])) == [1, 3, 0, 2]


def test_equal_gains_are_chosen_in_the_order_of_the_candidates():
    assert order(candidates([[(0.5, 0), (0.5, 1)]] * 7), labelled([1.0, 2.0])) == list(range(7))
    assert order(candidates([[(0.5, 0)]] * 7, [[[1.0, 0.0]]] * 7), labelled([1.0], dim=2)) == list(range(7))
    assert order(candidates([[(0.0, 0)]] * 5), labelled([0.0])) == list(range(5)), "with no gain at all, too"


def test_nothing_to_choose():
    assert order(candidates([]), labelled([0.0, 0.0])) == []


def plain_order(given: Candidates, base: Labelled) -> list[tuple[int, float]]:
    """The definition: every gain of every image, again for each choice."""
    unit = given.features / np.maximum(np.linalg.norm(given.features, axis=2, keepdims=True), 1e-9)
    seen = [*(base.features / np.linalg.norm(base.features, axis=1, keepdims=True))]
    totals, left, found = base.images.copy(), list(range(len(unit))), []
    while left:
        gains = []
        for index in left:
            gain = 0.0
            for prob, class_id, vector in zip(given.probs[index], given.class_ids[index], unit[index]):
                distance = min([1.0, *(1 - vector @ other for other in seen)])
                gain += base.weights[class_id] * prob * distance / math.sqrt(1 + totals[class_id])
            gains.append(gain)
        best = left[int(np.argmax(gains))]
        found.append((best, max(gains)))
        left.remove(best)
        for prob, class_id, vector in zip(given.probs[best], given.class_ids[best], unit[best]):
            totals[class_id] += prob
            seen += [vector] if prob > CHOSEN_PROB else []
    return found


def random_case(seed: int, count: int = 40) -> tuple[Candidates, Labelled]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3, 6))
    probs, class_ids = rng.random((count, 3)) ** 3, rng.integers(4, size=(count, 3))
    peaks = [list(zip(*one)) for one in zip(probs.tolist(), class_ids.tolist())]
    known = rng.normal(size=(5, 6))
    base = labelled((rng.random(4) * 9).tolist(), (1 + rng.random(4)).tolist(), known, 6)
    return candidates(peaks, vectors), base


@pytest.mark.parametrize("seed", range(5))
def test_against_the_definition(seed: int):
    given, base = random_case(seed)
    expected = plain_order(given, base)
    picks = list(greedy_picks(given, base))
    assert [pick.candidate for pick in picks] == [index for index, _ in expected]
    assert [pick.gain for pick in picks] == pytest.approx([gain for _, gain in expected], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gains_do_not_increase_and_any_beginning_is_that_of_the_whole_order(seed: int):
    given, base = random_case(seed, 300)
    picks = list(greedy_picks(given, base))
    gains = [pick.gain for pick in picks]
    assert gains == sorted(gains, reverse=True)
    assert min(gains) >= 0
    for count in (1, 7, 150):
        assert list(itertools.islice(greedy_picks(given, base), count)) == picks[:count]


def test_the_parts_of_a_gain_add_up():
    given, base = random_case(1)
    before = base.images.copy()
    for pick in greedy_picks(given, base):
        parts = pick.parts
        assert sum(part.gain for part in parts.classes) == pytest.approx(parts.gain)
        assert parts.novelty is not None
        assert pick.gain == pytest.approx(parts.gain * parts.novelty)
        assert [part.gain for part in parts.classes] == sorted((part.gain for part in parts.classes), reverse=True)
        assert all(part.before == pytest.approx(before[part.class_id]) for part in parts.classes)
        assert sum(part.evidence for part in parts.classes) == pytest.approx(given.probs[pick.candidate].sum())
        assert parts.before_total == pytest.approx(before.sum())
        np.add.at(before, given.class_ids[pick.candidate], given.probs[pick.candidate])


def test_candidates_in_another_order_are_chosen_in_the_same():
    given, base = random_case(2)
    shuffled = np.random.default_rng(5).permutation(len(given.is_empty))
    other = Candidates(*(field[shuffled] for field in given))
    assert shuffled[order(other, base)].tolist() == order(given, base)
