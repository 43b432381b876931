"""The resize of tensors against PIL itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ymir_detectron2.retinanet.resample import resize_tensor
from ymir_detectron2.retinanet.resize import resize_image

GROWING = [((48, 64), (48, 64)), ((48, 64), (80, 107)), ((61, 40), (61, 17)), ((1, 1), (8, 8)), ((300, 2), (800, 5))]
SHRINKING = [((480, 640), (240, 320)), ((333, 500), (80, 120)), ((61, 40), (13, 40)), ((97, 103), (96, 102))]


def image(kind: str, hw: tuple[int, int]) -> np.ndarray:
    generator = np.random.default_rng(0)
    pixels = {
        "noise": generator.integers(0, 256, (*hw, 3)),
        "white": np.full((*hw, 3), 255),
        "edges": generator.integers(0, 2, (*hw, 3)) * 255,
    }
    return pixels[kind].astype(np.uint8)


@pytest.mark.parametrize(("hw", "wanted"), GROWING)
@pytest.mark.parametrize("kind", ["noise", "white", "edges"])
def test_every_pixel_is_that_of_pil(hw: tuple[int, int], wanted: tuple[int, int], kind: str):
    pil_image = image(kind, hw)
    found = resize_tensor(torch.from_numpy(pil_image), wanted).numpy()
    np.testing.assert_array_equal(found, resize_image(pil_image, wanted))


@pytest.mark.parametrize(("hw", "wanted"), SHRINKING)
@pytest.mark.parametrize("kind", ["noise", "white", "edges"])
def test_where_a_image_shrinks_pil_may_take_columns_first(hw: tuple[int, int], wanted: tuple[int, int], kind: str):
    """Taking the columns first is resampling the transposed image: one of the two is PIL's, to the bit."""
    tensor = torch.from_numpy(image(kind, hw))
    rows_first = resize_tensor(tensor, wanted)
    columns_first = resize_tensor(tensor.transpose(0, 1), wanted[::-1]).transpose(0, 1)
    by_pil = torch.from_numpy(resize_image(tensor.numpy(), wanted).copy())
    assert torch.equal(by_pil, rows_first) or torch.equal(by_pil, columns_first)
    assert (by_pil.int() - rows_first.int()).abs().max() <= 1
