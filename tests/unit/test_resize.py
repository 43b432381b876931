"""The size that the network sees."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.retinanet.resize import resize_image, resized_hw


@pytest.mark.parametrize(
    ("hw", "edges", "wanted"),
    [
        pytest.param((480, 640), (800, 1333), (800, 1067), id="640 * 800 / 480 = 1066.67"),
        pytest.param((640, 480), (800, 1333), (1067, 800), id="the same, upright"),
        pytest.param((500, 1000), (800, 1333), (667, 1333), id="1600 is too long: 800 * 1333 / 1600 = 666.5"),
        pytest.param((100, 100), (50, 1333), (50, 50), id="a square"),
        pytest.param((1, 1000), (800, 1333), (1, 1333), id="a thread keeps one pixel"),
        pytest.param((333, 77), (0, 10), (333, 77), id="a short edge of 0 leaves it"),
    ],
)
def test_size_follows_the_short_edge_unless_the_long_one_gets_too_long(hw, edges, wanted):
    assert resized_hw(*hw, *edges) == wanted


def test_enlarging_is_bilinear_between_pixel_centres():
    row = np.array([[[0, 0, 0], [100, 100, 100]]], dtype=np.uint8)
    assert resize_image(row, (1, 4))[0, :, 0].tolist() == [0, 25, 75, 100]


def test_shrinking_averages_what_lies_under_a_pixel():
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:, 4:] = 200
    small = resize_image(image, (1, 2))
    assert small.shape == (1, 2, 3)
    assert small[0, 0, 0] < 50
    assert small[0, 1, 0] > 150


def test_a_image_of_the_right_size_is_not_touched():
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert resize_image(image, (3, 3)) is image
