"""Peaks of score maps by hand, of boxes, of tiles and of labelled images; and the features in them."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.rectangle_detector import BLUE, RED, ColourMaps, draw, find_rectangles
from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.peaks import (
    MAX_DIM,
    MOST_PEAKS,
    NAME,
    ImagePeaks,
    _signs,
    as_directions,
    box_peaks,
    extract_peaks,
    is_local_maximum,
    labelled_features,
    strongest,
)


def peaks(*probs: float, class_id: int = 0, dim: int = 2) -> ImagePeaks:
    """Their features are their number and zeros."""
    features = np.zeros((len(probs), dim), np.int8)
    features[:, 0] = np.arange(1, len(probs) + 1)
    return ImagePeaks(np.array(probs, np.float16), np.full(len(probs), class_id, np.uint16), features)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.1, 0.5, 0.2]], [[0, 1, 0]]),
        ([[0.5, 0.1, 0.5]], [[1, 0, 1]]),
        ([[0.9, 0.1], [0.1, 0.8]], [[1, 0], [0, 0]]),  # a neighbour across the corner
        ([[0.5, 0.5], [0.5, 0.5]], [[1, 0], [0, 0]]),  # of equal neighbours the first
        ([[0.1, 0.5, 0.5, 0.6]], [[0, 1, 0, 1]]),  # only neighbours count
        ([[0.3]], [[1]]),
    ],
)
def test_local_maxima(values: list, expected: list):
    assert is_local_maximum(np.array(values)).astype(int).tolist() == expected


def test_by_hand():
    """Two classes, two levels. Level 1 has peaks of 0.9 (class 1) and 0.3 (class 0), level 2 one of 0.5 (class 0)."""
    first = torch.tensor([[[0.1, 0.2, 0.3]], [[0.9, 0.1, 0.1]]])  # (2, 1, 3)
    second = torch.tensor([[[0.5]], [[0.25]]])
    features = [torch.tensor([[[1.0, 0.0, -2.0]], [[2.0, 0.0, 1.0]]]), torch.tensor([[[0.0]], [[4.0]]])]
    found = extract_peaks(SimpleNamespace(score_maps=[first, second], features=features))
    assert found.probs.tolist() == np.array([0.9, 0.5, 0.3], np.float16).tolist()
    assert found.class_ids.tolist() == [1, 0, 0]
    assert found.features.tolist() == [[64, 127], [0, 127], [-127, 64]], "1/2 of 127 is 63.5, rounded to even"
    assert found.is_finite


def test_weak_cells_are_none_and_eight_are_kept():
    grid = torch.zeros(1, 9, 9)
    grid[0, ::2, ::2] = torch.arange(1, 26).reshape(5, 5) / 100
    found = extract_peaks(SimpleNamespace(score_maps=[grid], features=[torch.ones(3, 9, 9)]))
    assert len(found.probs) == MOST_PEAKS
    np.testing.assert_allclose(found.probs, np.arange(25, 17, -1) / 100, rtol=1e-3)
    weak = extract_peaks(SimpleNamespace(score_maps=[grid / 100], features=[torch.ones(3, 9, 9)]))
    assert len(weak.probs) == 0
    assert weak.features.shape == (0, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_counts_nothing(value: float):
    maps, features = torch.tensor([[[value, 0.1, 0.4]], [[0.2, 0.1, value]]]), torch.ones(3, 1, 3)
    features[0, 0, 1] = value
    maps[:, 0, 1] = 0.3
    found = extract_peaks(SimpleNamespace(score_maps=[maps], features=[features]))
    assert not found.is_finite
    assert found.probs.tolist() == [float(np.float16(0.3))]
    assert found.features.tolist() == [[0, 0, 0]]


def test_drawn_rectangles_are_peaks():
    found = extract_peaks(ColourMaps(draw((8, 8, 40, 40, RED, 255), (60, 50, 90, 80, BLUE, 200))))
    assert found.class_ids[0] == RED
    assert BLUE in found.class_ids
    assert found.probs[0] == np.float16(255 / 256)
    assert int(found.features[0].argmax()) == RED


def test_the_strongest_of_several_tiles():
    found = strongest([peaks(0.5, 0.1), peaks(0.9, 0.5, class_id=1), ImagePeaks.none(2)])
    assert found.probs.tolist() == np.array([0.9, 0.5, 0.5, 0.1], np.float16).tolist()
    assert found.class_ids.tolist() == [1, 0, 1, 0], "of equal ones the first tile"
    assert len(strongest([peaks(*np.linspace(1, 0.1, 6))] * 2).probs) == MOST_PEAKS


def test_boxes_in_place_of_peaks():
    boxes = find_rectangles([draw((5, 5, 30, 30, RED, 200), (50, 50, 80, 80, BLUE, 100))])[0]
    found = box_peaks(boxes)
    np.testing.assert_allclose(found.probs, boxes.scores, rtol=1e-3)
    assert found.class_ids.tolist() == boxes.classes.tolist()
    assert found.features.shape == (2, 0)
    damaged = box_peaks(boxes.take(np.array([0]), scores=np.array([np.nan], dtype=np.float32)))
    assert (len(damaged.probs), damaged.is_finite) == (0, False)
    assert len(box_peaks(Detections.empty()).probs) == 0


@pytest.mark.parametrize(("channels", "dim"), [(1, 1), (64, 64), (65, MAX_DIM), (256, MAX_DIM)])
def test_directions_have_at_most_64_entries_and_a_largest_one_of_127(channels: int, dim: int):
    found = as_directions(np.random.default_rng(1).normal(size=(5, channels)))
    assert found.shape == (5, dim)
    assert np.abs(found.astype(int)).max(axis=1).tolist() == [127] * 5


def test_directions_do_not_depend_on_the_length_and_keep_angles():
    vectors = np.random.default_rng(1).normal(size=(40, 64))
    np.testing.assert_array_equal(as_directions(vectors), as_directions(vectors * 1e-3))
    np.testing.assert_allclose(cosines(as_directions(vectors)), cosines(vectors), atol=0.005)


def test_projected_directions_keep_the_order_of_distances():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2, 256))
    near = vectors[0] + 0.2 * rng.normal(size=256)
    found = cosines(as_directions(np.stack([vectors[0], near, vectors[1]])))[0]
    assert found[1] > 0.95
    assert found[2] < 0.5


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return unit @ unit.T


def test_zeros_and_infinity_have_no_direction():
    assert as_directions(np.array([[0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0]])).tolist() == [[0, 0]] * 3


def test_the_projection_is_the_same_in_every_release_of_numpy():
    """Features of a training are compared with those of a mining task, on another machine and years later."""
    digest = hashlib.shake_256(NAME.encode()).digest(256 * MAX_DIM // 8)
    assert _signs(256)[0, :8].tolist() == [1.0 if digest[0] >> (7 - bit) & 1 else -1.0 for bit in range(8)]
    assert set(np.unique(_signs(256))) == {-1.0, 1.0}


def test_features_of_labelled_images_are_those_of_peaks_above_a_twentieth():
    images = [[peaks(0.9, 0.04)], [peaks(0.3), peaks(0.2, 0.1)], [ImagePeaks.none()]]
    assert labelled_features(images, 100)[:, 0].tolist() == [1, 1, 1, 2], "strongest first in each image"
    assert labelled_features([], 100).shape == (0, 1)
    assert labelled_features([[ImagePeaks.none()]], 100).shape == (0, 1)


def test_of_many_labelled_images_evenly_spaced_ones_count():
    images = [[peaks(0.9, dim=1)._replace(features=np.array([[number]], np.int8))] for number in range(100)]
    assert labelled_features(images, 4).ravel().tolist() == [0, 25, 50, 75]
    assert len(labelled_features(images, 99)) == 99
