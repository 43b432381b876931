"""Distances of peaks by hand in a plane, and against the plain definition: never larger than before."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.mining import novelty as module
from ymir_detectron2.mining.novelty import Novelty
from ymir_detectron2.mining.peaks import as_directions


def at_angles(*degrees: float) -> np.ndarray:
    """(m, 2) directions in a plane."""
    turns = np.radians(degrees)
    return as_directions(np.stack([np.cos(turns), np.sin(turns)], axis=1).reshape(-1, 2))


def images(*degrees: float) -> np.ndarray:
    """(n, 1, 2): one peak each."""
    return at_angles(*degrees)[:, None]


def distances(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The definition in float64: (n, m), at most 1."""
    one, others = one.astype(np.float64), others.astype(np.float64)
    cosines = one @ others.T / np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(others, axis=1))
    return np.clip(1 - cosines, 0.0, 1.0)


NONE = np.zeros((0, 2), np.int8)
ONE = np.array([True])


def test_distances_to_labelled_peaks():
    """1 - cos of 0, 60, 90 and 180 degrees; what is turned away is no farther than 1."""
    found = Novelty(images(0, 60, 90, 180), at_angles(0)).distances
    assert found.ravel().tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=0.01)
    assert found[0, 0] == 0.0, "a copy, to the last digit"


def test_what_is_chosen_counts_like_what_is_labelled():
    novelty = Novelty(images(0, 60, 90, 90), at_angles(180))
    assert novelty.distances.ravel().tolist() == [1.0] * 4
    assert [novelty.nearest(index) for index in range(4)] == [None] * 4
    novelty.choose(2, ONE)
    assert not novelty.is_current(3)
    for index in (0, 1, 3):
        novelty.update(index)
        assert novelty.is_current(index)
    assert novelty.distances.ravel().tolist() == pytest.approx([1.0, 1 - np.cos(np.radians(30)), 1.0, 0.0], abs=0.01)
    assert [novelty.nearest(index) for index in (0, 1, 3)] == [None, 2, 2]


def test_only_the_peaks_that_count_are_compared_with():
    two = np.stack([at_angles(0, 90), at_angles(0, 90)])  # (2, 2, 2)
    novelty = Novelty(two, NONE)
    novelty.choose(0, np.array([True, False]))
    novelty.update(1)
    assert novelty.distances[1].tolist() == [0.0, 1.0]
    novelty.choose(0, np.array([False, False]))
    assert novelty.is_current(1), "nothing was added"


def test_nearest_is_the_image_with_the_most_similar_peak_unless_a_labelled_one_is_nearer():
    several = np.stack([at_angles(0, 100), at_angles(40, 40), at_angles(20, 99)])
    novelty = Novelty(several, NONE)
    novelty.choose(0, np.array([True, True]))
    novelty.choose(1, np.array([True, True]))
    novelty.update(2)
    assert novelty.nearest(2) == 0, "1 degree from its second peak, 20 from the first of both"
    labelled = Novelty(several, at_angles(99))
    labelled.choose(0, np.array([True, True]))
    labelled.update(2)
    assert labelled.nearest(2) is None


def test_whether_there_is_anything_to_compare_with():
    novelty = Novelty(images(0, 90), NONE)
    assert not novelty.has_others()
    novelty.choose(0, ONE)
    assert novelty.has_others()
    assert Novelty(images(0), at_angles(90)).has_others()


def test_peaks_without_a_direction_are_far_from_everything():
    novelty = Novelty(np.concatenate([images(0, 90), np.zeros((2, 1, 2), np.int8)]), at_angles(0))
    novelty.choose(2, ONE)
    assert novelty.is_current(3)
    novelty.choose(0, ONE)
    novelty.update(3)
    assert novelty.distances[3, 0] == 1.0


def test_without_features_everything_is_new():
    novelty = Novelty(np.zeros((4, 3, 0), np.int8), np.zeros((7, 0), np.int8))
    for index in range(4):
        novelty.update(index)
        assert novelty.distances[index].tolist() == [1.0] * 3
        novelty.choose(index, np.array([True] * 3))
    assert not novelty.has_others()


@pytest.mark.parametrize("has_labelled", [True, False])
def test_against_the_definition_with_updates_at_any_time(monkeypatch: pytest.MonkeyPatch, has_labelled: bool):
    monkeypatch.setattr(module, "_BLOCK", 16)
    rng = np.random.default_rng(3)
    features = as_directions(rng.normal(size=(60 * 3, 5))).reshape(60, 3, 5)
    labelled = as_directions(rng.normal(size=(9, 5)))[: 9 * has_labelled]
    novelty, seen = Novelty(features, labelled), [labelled]
    for index in rng.permutation(60).tolist():
        before = novelty.distances.copy()
        novelty.update(index)
        expected = distances(features[index], np.concatenate(seen)).min(axis=1, initial=1.0)
        np.testing.assert_allclose(novelty.distances[index], expected, atol=1e-12)
        counts = rng.random(3) < 0.7
        novelty.choose(index, counts)
        seen.append(features[index][counts])
        novelty.update(int(rng.integers(60)))
        assert (novelty.distances <= before).all()


def test_distances_do_not_depend_on_what_is_compared_together():
    """To the last digit: one by one, and all at once, in another order."""
    rng = np.random.default_rng(1)
    features = as_directions(rng.normal(size=(50, 64)))[:, None]
    labelled = as_directions(rng.normal(size=(300, 64)))
    together = Novelty(features, labelled).distances
    for index in (0, 17, 49):
        alone = Novelty(features[index : index + 1], labelled[::-1]).distances
        assert alone[0, 0].hex() == together[index, 0].hex()
