"""How well anchors fit boxes, and anchors that fit, on boxes of a few shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ymir_detectron2.retinanet.anchor_fit import (
    AnchorFit,
    best_iou,
    fit_anchors,
    missed_share,
    resized_wh,
    shape_iou,
)
from ymir_detectron2.retinanet.anchors import AnchorGenerator, cell_anchors
from ymir_detectron2.retinanet.boxes import pairwise_iou

NOTHING = np.zeros((0, 2))
OCTAVES = [[8.0, 10.0, 12.5], [16.0, 20.0, 25.0], [32.0, 40.0, 50.0]]


def shapes(*pairs: tuple[int, tuple[float, float]]) -> np.ndarray:
    """(how many, (width, height)), ..."""
    return np.array([wh for count, wh in pairs for _ in range(count)], dtype=np.float64).reshape(-1, 2)


def mixture(count: int) -> np.ndarray:
    """Upright boxes of about 7 to 150 pixels."""
    random = np.random.default_rng(5)
    log_sizes, log_ratios = random.normal(3.5, 0.7, count), random.normal(1.0, 0.4, count)
    return np.exp(np.stack([log_sizes - log_ratios / 2, log_sizes + log_ratios / 2], axis=1))


def test_no_boxes():
    assert missed_share(NOTHING, OCTAVES, [[1.0]]) == 0
    assert best_iou(NOTHING, OCTAVES, [[1.0]]).shape == (0,)
    assert fit_anchors(NOTHING, OCTAVES, [[0.5, 1.0]]) == AnchorFit(OCTAVES, [[0.5, 1.0]], 0, 0, 0, 0)
    assert resized_wh(np.zeros((0, 4)), np.zeros((0, 2)), 800, 1333).shape == (0, 2)


@pytest.mark.parametrize(
    ("wh", "other", "iou"),
    [
        pytest.param((10, 10), (10, 10), 1, id="the same"),
        pytest.param((10, 10), (10, 5), 0.5, id="half as high"),
        pytest.param((10, 10), (20, 20), 0.25, id="twice as large"),
        pytest.param((10, 20), (20, 10), 1 / 3, id="crosswise"),
    ],
)
def test_overlap_of_shapes(wh, other, iou: float):
    assert shape_iou(np.array([wh], dtype=float), np.array([other], dtype=float))[0, 0] == pytest.approx(iou)


def test_anchors_are_those_of_the_network():
    sizes, ratios = [[32.0, 40.0]], [[0.5, 1.0, 2.0]]
    boxes = torch.tensor([[-10.0, -30.0, 10.0, 30.0], [-25.0, -15.0, 25.0, 15.0]])
    expected = pairwise_iou(boxes, cell_anchors(sizes[0], ratios[0])).max(dim=1).values
    wh = (boxes[:, 2:] - boxes[:, :2]).numpy().astype(np.float64)
    np.testing.assert_allclose(best_iou(wh, sizes, ratios), expected.numpy(), rtol=1e-5)


def test_share_of_boxes_that_no_anchor_reaches():
    """Anchors 10 x 10 and 40 x 40: 10 x 5 has IoU 0.5 and is reached; 10 x 4.9 and 20 x 20 are not."""
    boxes = shapes((1, (10, 10)), (1, (10, 5)), (1, (10, 4.9)), (1, (20, 20)), (4, (40, 40)))
    assert missed_share(boxes, [[10.0], [40.0]], [[1.0]]) == 0.25


def test_each_of_many_boxes_has_its_own_overlap():
    """Squares of 1 to 9999 pixels, more than are looked at together, and an anchor of 100."""
    sides = np.arange(1.0, 10_000)
    small, large = np.minimum(sides, 100), np.maximum(sides, 100)
    overlaps = best_iou(np.stack([sides, sides], axis=1), [[100.0]], [[1.0]])
    np.testing.assert_allclose(overlaps, (small / large) ** 2)


def test_a_ratio_is_height_by_width():
    assert missed_share(shapes((1, (5, 20))), [[10.0]], [[4.0]]) == 0
    assert missed_share(shapes((1, (20, 5))), [[10.0]], [[4.0]]) == 1


def test_boxes_as_the_network_sees_them():
    """200 x 100 pixels become 100 x 50 and 50 x 50 stay. 1000 x 100 are stopped by the longer edge: 200 x 20; 2000 x 5
    as well, at 200 x 1, since half a pixel is rounded up."""
    boxes = np.array([[10, 10, 30, 20], [0, 0, 7, 9], [0, 0, 500, 50], [0, 0, 100, 5]], dtype=np.float32)
    image_hw = np.array([[100, 200], [50, 50], [100, 1000], [5, 2000]])
    assert resized_wh(boxes, image_hw, 50, 200) == pytest.approx(np.array([[10, 5], [7, 9], [100, 10], [10, 1]]))
    assert resized_wh(boxes, image_hw, 0, 200) == pytest.approx(np.array([[20, 10], [7, 9], [500, 50], [100, 5]]))


def test_sizes_move_to_the_boxes():
    found = fit_anchors(shapes((20, (10, 10)), (20, (20, 20)), (20, (45, 45))), [[8.0, 16.0, 32.0]], [[1.0]])
    assert found.sizes == [pytest.approx([10, 20, 45])]
    assert found.aspect_ratios == [pytest.approx([1])]
    assert (found.missed, found.iou) == pytest.approx((0, 1))


def test_ratios_move_to_the_boxes():
    found = fit_anchors(shapes((30, (5, 20)), (30, (20, 5))), [[10.0]], [[0.5, 2.0]])
    assert found.aspect_ratios == [pytest.approx([0.25, 4])]
    assert found.sizes == [pytest.approx([10])]
    assert found.iou_before < found.iou == pytest.approx(1)


def test_a_level_with_few_boxes_keeps_its_sizes():
    found = fit_anchors(shapes((40, (14, 14)), (5, (44, 44))), [[8.0, 10.0], [40.0, 50.0]], [[1.0]])
    assert found.sizes[1] == [40, 50]
    assert 14 in found.sizes[0]


def test_sizes_of_one_level_stay_apart():
    """All boxes alike: one size moves there, the others remain different, by the sixth root of 2 or more."""
    (sizes,) = fit_anchors(shapes((60, (100, 100))), [[64.0, 80.0, 96.0]], [[1.0]]).sizes
    assert min(abs(size - 100) for size in sizes) < 6
    assert min(sizes[1] / sizes[0], sizes[2] / sizes[1]) > 2 ** (1 / 6) - 1e-4


def test_each_level_stays_in_its_range():
    found = fit_anchors(mixture(3000), OCTAVES, [[0.5, 1.0, 2.0]])
    limits = [0, (12.5 * 16) ** 0.5, (25 * 32) ** 0.5, np.inf]
    for level, sizes in enumerate(found.sizes):
        assert limits[level] < sizes[0] < sizes[1] < sizes[2] < limits[level + 1]


@pytest.mark.parametrize("ratios", [[[0.5, 1.0, 2.0]], [[0.5, 1.0, 2.0]] * 3], ids=["one list", "a list per level"])
def test_a_fit_has_the_form_of_the_configuration_and_is_better(ratios: list[list[float]]):
    boxes = mixture(6000)  # more than it looks at
    found = fit_anchors(boxes, OCTAVES, ratios)
    assert ([len(level) for level in found.sizes], len(found.aspect_ratios)) == ([3, 3, 3], len(ratios))
    assert found.missed < found.missed_before == missed_share(boxes, OCTAVES, ratios)
    assert found.missed == pytest.approx(missed_share(boxes, found.sizes, found.aspect_ratios))
    assert found.iou > found.iou_before
    assert AnchorGenerator(found.sizes, found.aspect_ratios, [8, 16, 32], 0.0).num_anchors == 9


def test_a_seed_gives_one_result():
    boxes = mixture(6000)
    assert fit_anchors(boxes, OCTAVES, [[1.0]], seed=3) == fit_anchors(boxes, OCTAVES, [[1.0]], seed=3)


def test_anchors_that_fit_are_kept_to_the_last_digit():
    sizes = [[32 * 2 ** (1 / 3)], [64 * 2 ** (1 / 3)]]
    found = fit_anchors(shapes((50, (sizes[0][0],) * 2), (50, (sizes[1][0],) * 2)), sizes, [[1.0]])
    assert (found.sizes, found.aspect_ratios, found.missed) == (sizes, [[1.0]], 0)


def test_boxes_without_area_are_left_out():
    found = fit_anchors(shapes((50, (8, 8)), (50, (0, 32))), [[8.0]], [[1.0]])
    assert (found.sizes, found.missed_before) == ([[8]], 0)


def test_boxes_of_less_than_a_pixel_draw_no_anchor_to_them():
    dust = np.full((500, 2), 0.07)
    assert fit_anchors(dust, [[16.0], [64.0]], [[1.0]]).sizes == [[16.0], [64.0]]
