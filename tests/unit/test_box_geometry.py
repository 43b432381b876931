"""Areas and overlaps of boxes, with the arithmetic in the row."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.box_geometry import as_boxes, box_areas, pairwise_intersection, pairwise_iou

SQUARE = (0, 0, 10, 10)
UPPER_HALF = (0, 0, 10, 5)
FAR = (50, 50, 60, 60)


def boxes(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


PAIRS = [
    pytest.param([], [], np.zeros((0, 0)), id="both empty"),
    pytest.param([], [SQUARE, SQUARE], np.zeros((0, 2)), id="first empty"),
    pytest.param([SQUARE], [], np.zeros((1, 0)), id="second empty"),
    pytest.param([SQUARE], [SQUARE], [[1.0]], id="same: 100 / 100"),
    pytest.param([SQUARE], [UPPER_HALF, FAR], [[0.5, 0.0]], id="half: 50 / 100, then apart"),
    pytest.param([SQUARE], [(5, 0, 15, 10)], [[1 / 3]], id="shifted by half: 50 / 150"),
    pytest.param([SQUARE], [(5, 5, 15, 15)], [[25 / 175]], id="corner: 25 / (100 + 100 - 25)"),
    pytest.param([SQUARE], [(10, 0, 20, 10)], [[0.0]], id="touching edges share nothing"),
    pytest.param([SQUARE], [(3, 3, 3, 3)], [[0.0]], id="one without area"),
    pytest.param([(3, 3, 3, 3)], [(3, 3, 3, 3)], [[0.0]], id="both without area: not NaN"),
    pytest.param([SQUARE], [(10, 10, 0, 0)], [[0.0]], id="swapped corners"),
]


@pytest.mark.parametrize("union_eps", [0.0, 1e-14])
@pytest.mark.parametrize(("a", "b", "expected"), PAIRS)
def test_iou_is_intersection_over_union(a, b, expected, union_eps: float):
    iou = pairwise_iou(boxes(*a), boxes(*b), union_eps=union_eps)
    assert iou.dtype == np.float64
    assert iou == pytest.approx(np.array(expected), abs=1e-12)


def test_epsilon_is_added_to_the_union():
    assert pairwise_iou(boxes(SQUARE), boxes(SQUARE), union_eps=25.0).tolist() == [[100 / 125]]


def test_iou_of_more_pairs_than_are_in_memory_at_once():
    """Box i is 10 wide and 10 further to the right than the one before; shifted by 5 it overlaps two by a third."""
    row = np.array([(10.0 * i, 0, 10.0 * i + 10, 10) for i in range(700)])
    iou = pairwise_iou(row, row + np.array([5, 0, 5, 0]))
    expected = (np.eye(700) + np.eye(700, k=-1)) / 3
    np.testing.assert_allclose(iou, expected, atol=1e-12)


def test_intersection_counts_shared_pixels_and_keeps_the_precision():
    a, b = boxes(SQUARE, FAR).astype(np.float32), boxes(UPPER_HALF, (5, 5, 15, 15), (10, 10, 0, 0)).astype(np.float32)
    shared = pairwise_intersection(a, b)
    assert shared.dtype == np.float32
    assert shared.tolist() == [[50.0, 25.0, 0.0], [0.0, 0.0, 0.0]]
    assert pairwise_intersection(a, b[:0]).shape == (2, 0)


def test_area_is_width_times_height_and_0_where_corners_are_swapped():
    assert box_areas(boxes(SQUARE, UPPER_HALF, (3, 3, 3, 9), (10, 10, 0, 0))).tolist() == [100.0, 50.0, 0.0, 0.0]
    assert box_areas(boxes()).tolist() == []


def test_a_list_of_no_boxes_has_the_shape_of_boxes():
    assert as_boxes(np.array([])).shape == (0, 4)
    assert as_boxes(np.array([SQUARE], dtype=np.float32)).dtype == np.float64
