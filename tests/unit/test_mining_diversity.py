"""Which pictures resemble a better one: by hand, against the plain definition, and fast enough for thousands."""

from __future__ import annotations

import time
from math import cos, radians
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ymir_detectron2.mining.diversity import read_embedding, resembles_a_better_one


def at_angles(*degrees: float) -> np.ndarray:
    """Unit vectors in a plane."""
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32).reshape(-1, 2)


def one_by_one(embeddings: np.ndarray, min_distance: float) -> list:
    """The definition, in float64 and without blocks."""
    kept, waits = [], []
    for row in embeddings.astype(np.float64):
        waits.append(any(1.0 - row @ other < min_distance for other in kept))
        kept.extend([] if waits[-1] else [row])
    return waits


NEAR_30 = 1 - cos(radians(30))


@pytest.mark.parametrize(
    ("degrees", "distance", "waiting"),
    [
        pytest.param([], 0.5, [], id="no pictures"),
        pytest.param([30], 0.5, [], id="one"),
        pytest.param([0, 0, 90], 0.1, [1], id="a copy waits"),
        pytest.param([0, 0, 90], 0.0, [], id="at 0 none waits, not even a copy"),
        pytest.param([0, 20, 40], NEAR_30, [1], id="20 is near 0; 40 is near 20 only, which waits"),
        pytest.param([20, 0, 40], NEAR_30, [1, 2], id="both are near the first"),
        pytest.param([0, 10, 90, 80, 45], NEAR_30, [1, 3], id="two groups and one between"),
        pytest.param([0, 90, 180], 1.5, [1], id="opposite is 2 away, a right angle 1"),
    ],
)
def test_who_waits_by_hand(degrees, distance, waiting):
    waits = resembles_a_better_one(at_angles(*degrees), distance)
    assert waits.dtype == bool
    assert np.flatnonzero(waits).tolist() == waiting


@pytest.mark.parametrize("distance", [0.02, 0.3, 0.7])
def test_blocks_do_not_show(distance):
    """700 pictures in three blocks of 256 and less, in clusters of about 7."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(100, 16))[rng.integers(0, 100, 700)] + rng.normal(scale=0.1, size=(700, 16))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    waits = resembles_a_better_one(embeddings, distance)
    assert waits.tolist() == one_by_one(embeddings, distance)
    assert 100 < waits.sum() < 700


def test_pictures_without_an_embedding_are_near_to_nothing():
    assert not resembles_a_better_one(np.zeros((3, 4), dtype=np.float32), 0.9).any()


def test_thousands_take_seconds():
    rows = np.random.default_rng(0).normal(size=(5000, 256)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    start = time.perf_counter()
    assert not resembles_a_better_one(rows, 0.05).any()
    assert time.perf_counter() - start < 10.0, "about a second on one core, even with a busy neighbour"


def view(levels: list) -> SimpleNamespace:
    return SimpleNamespace(features=levels)


def test_embedding_is_the_mean_of_the_third_level_at_length_one():
    """(0 + 6) / 2 and (4 + 4) / 2: 3, 4, of length 5."""
    levels = [torch.full((2, 8, 8), 7.0), torch.full((2, 4, 4), 8.0), torch.tensor([[[0.0, 6.0]], [[4.0, 4.0]]])]
    embedding = read_embedding(view([*levels, torch.full((2, 1, 1), 9.0)]))
    assert embedding.dtype == np.float32
    assert embedding.tolist() == pytest.approx([0.6, 0.8])
    assert read_embedding(view(levels[:1])).tolist() == pytest.approx([0.5**0.5] * 2)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_embedding_of_nothing_is_zero(value):
    assert read_embedding(view([torch.full((2, 3, 3), value)])).tolist() == [0.0, 0.0]
