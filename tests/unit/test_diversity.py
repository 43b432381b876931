"""Near-duplicates of a better image: by hand, against the plain definition, and fast enough for thousands."""

from __future__ import annotations

import time
from math import cos, radians
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ymir_detectron2.mining.diversity import extract_embedding, near_duplicate_mask


def at_angles(*degrees: float) -> np.ndarray:
    """Unit vectors in a plane."""
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32).reshape(-1, 2)


def one_by_one(embeddings: np.ndarray, min_distance: float) -> list:
    """The definition, in float64 and without blocks."""
    kept, mask = [], []
    for row in embeddings.astype(np.float64):
        mask.append(any(1.0 - row @ other < min_distance for other in kept))
        kept.extend([] if mask[-1] else [row])
    return mask


NEAR_30 = 1 - cos(radians(30))


@pytest.mark.parametrize(
    ("degrees", "distance", "duplicates"),
    [
        pytest.param([], 0.5, [], id="no images"),
        pytest.param([30], 0.5, [], id="one"),
        pytest.param([0, 0, 90], 0.1, [1], id="a copy"),
        pytest.param([0, 0, 90], 0.0, [], id="at 0 none, not even a copy"),
        pytest.param([0, 20, 40], NEAR_30, [1], id="20 is near 0; 40 is near 20 only, a duplicate itself"),
        pytest.param([20, 0, 40], NEAR_30, [1, 2], id="both are near the first"),
        pytest.param([0, 10, 90, 80, 45], NEAR_30, [1, 3], id="two groups and one between"),
        pytest.param([0, 90, 180], 1.5, [1], id="opposite is 2 away, a right angle 1"),
    ],
)
def test_near_duplicates_by_hand(degrees, distance, duplicates):
    mask = near_duplicate_mask(at_angles(*degrees), distance)
    assert mask.dtype == bool
    assert np.flatnonzero(mask).tolist() == duplicates


@pytest.mark.parametrize("distance", [0.02, 0.3, 0.7])
def test_blocks_change_nothing(distance):
    """700 images in three blocks of 256 and less, in clusters of about 7."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(100, 16))[rng.integers(0, 100, 700)] + rng.normal(scale=0.1, size=(700, 16))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    mask = near_duplicate_mask(embeddings, distance)
    assert mask.tolist() == one_by_one(embeddings, distance)
    assert 100 < mask.sum() < 700


def test_images_without_an_embedding_are_near_to_nothing():
    assert not near_duplicate_mask(np.zeros((3, 4), dtype=np.float32), 0.9).any()


def test_thousands_take_seconds():
    rows = np.random.default_rng(0).normal(size=(5000, 256)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    start = time.perf_counter()
    assert not near_duplicate_mask(rows, 0.05).any()
    assert time.perf_counter() - start < 10.0, "about a second on one core, even with a busy neighbour"


def outputs(levels: list) -> SimpleNamespace:
    return SimpleNamespace(features=levels)


def test_embedding_is_the_mean_of_the_third_level_at_length_one():
    """(0 + 6) / 2 and (4 + 4) / 2: 3, 4, of length 5."""
    levels = [torch.full((2, 8, 8), 7.0), torch.full((2, 4, 4), 8.0), torch.tensor([[[0.0, 6.0]], [[4.0, 4.0]]])]
    embedding = extract_embedding(outputs([*levels, torch.full((2, 1, 1), 9.0)]))
    assert embedding.dtype == np.float32
    assert embedding.tolist() == pytest.approx([0.6, 0.8])
    assert extract_embedding(outputs(levels[:1])).tolist() == pytest.approx([0.5**0.5] * 2)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_embedding_of_features_without_a_direction_is_zero(value):
    assert extract_embedding(outputs([torch.full((2, 3, 3), value)])).tolist() == [0.0, 0.0]
