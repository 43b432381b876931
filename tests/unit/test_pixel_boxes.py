"""Boxes of the network become whole pixels inside the picture."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.engines.base import Detections
from ymir_detectron2.inference.pixel_boxes import pixel_boxes


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((10, 20, 30, 40), (10, 20, 20, 20), id="whole"),
        pytest.param((10.4, 19.6, 30.4, 40.6), (10, 20, 20, 21), id="rounded"),
        pytest.param((-5, -5, 200, 200), (0, 0, 96, 64), id="over every edge"),
        pytest.param((10.1, 10.1, 10.3, 10.3), (10, 10, 1, 1), id="less than a pixel"),
        pytest.param((95.9, 63.9, 96, 64), (95, 63, 1, 1), id="in the last corner"),
        pytest.param((200, 200, 300, 300), (95, 63, 1, 1), id="outside"),
        pytest.param((30, 30, 10, 10), (30, 30, 1, 1), id="swapped corners"),
    ],
)
def test_boxes_are_at_least_a_pixel_and_inside(box: tuple, expected: tuple):
    """In a picture of 96 by 64."""
    detections = Detections(np.array([box], np.float32), np.array([0.5], np.float32), np.array([1]))
    (found,) = pixel_boxes(detections, (64, 96), ("cat", "dog"))
    assert (found.x, found.y, found.w, found.h) == expected
    assert (found.class_name, found.score) == ("dog", 0.5)
    assert all(type(value) is int for value in expected)


def test_no_boxes():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert list(pixel_boxes(nothing, (64, 96), ())) == []
