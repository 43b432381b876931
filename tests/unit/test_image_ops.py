"""The image operations on arrays; `test_torch_image_ops.py` holds those on tensors against them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from ymir_detectron2.mining import image_ops, torch_image_ops
from ymir_detectron2.mining.image_ops import ImageOps, cut_holes, flip_horizontal, pad_to, resize, warp_affine

ROW = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
"""2 x 2 pixels."""


def test_flip_swaps_left_and_right():
    assert flip_horizontal(ROW).tolist() == ROW[:, ::-1].tolist()


def test_holes_are_black_and_the_rest_stays():
    image = np.full((4, 5, 3), 9, dtype=np.uint8)
    result = cut_holes(image, [(1, 0, 3, 2), (4, 3, 5, 4)])
    assert result[:, :, 0].tolist() == [[9, 0, 0, 9, 9], [9, 0, 0, 9, 9], [9] * 5, [9, 9, 9, 9, 0]]
    assert image.min() == 9
    assert cut_holes(image, []) is image


def test_resize_averages_what_it_shrinks():
    """A bilinear filter as wide as the image shrinks: the mean of two equal halves."""
    image = np.repeat(np.array([[[0] * 3, [200] * 3]], dtype=np.uint8), 2, axis=0)
    assert resize(image, (1, 1)).tolist() == [[[100] * 3]]


def test_warp_moves_pixels_and_black_comes_in():
    shifted = warp_affine(ROW, np.array([[1.0, 0, 1], [0, 1, 0]]))
    assert shifted[:, 0].tolist() == [[0, 0, 0]] * 2
    assert shifted[:, 1].tolist() == ROW[:, 0].tolist()


def test_padding_is_black_at_the_right_and_at_the_bottom():
    padded = pad_to(ROW, (3, 4))
    assert padded[:2, :2].tolist() == ROW.tolist()
    assert padded[2:].max() == padded[:, 2:].max() == 0


@pytest.mark.parametrize("module", [image_ops, torch_image_ops], ids=["arrays", "tensors"])
def test_both_modules_have_every_operation_with_the_same_parameters(module):
    names = [name for name, item in vars(ImageOps).items() if inspect.isfunction(item) and name[0] != "_"]
    assert len(names) == 5
    for name in names:
        _, *expected = inspect.signature(getattr(ImageOps, name)).parameters
        assert list(inspect.signature(getattr(module, name)).parameters) == expected, name
