"""Tensors are augmented as arrays are: the same boxes and sizes, pixels as equal as the arithmetic allows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from ymir_detectron2.mining import image_ops, torch_image_ops
from ymir_detectron2.mining.augmentations import AUGMENTATIONS, image_ops_for, rotation_matrix
from ymir_detectron2.mining.cald_legacy import LEGACY_AUGMENTATIONS

EACH = pytest.mark.parametrize(
    "augmentation",
    [*AUGMENTATIONS, *LEGACY_AUGMENTATIONS],
    ids=[
        f"{kind}-{a.name}" for kind, group in (("cald", AUGMENTATIONS), ("legacy", LEGACY_AUGMENTATIONS)) for a in group
    ],
)
LARGEST_GAP, MEAN_GAP = (1, 0.01) if int(cv2.__version__.split(".")[0]) >= 5 else (8, 1.0)
"""In grey levels, of rotated noise: OpenCV 4 rounds the places that it reads to 1/32 pixel, OpenCV 5 does not."""
SIZES = pytest.mark.parametrize(("height", "width"), [(97, 131), (131, 97), (64, 64), (1, 1), (1, 9), (9, 1), (2, 3)])


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """Three waves, at most 3 grey levels from pixel to pixel, as bright at the border as inside."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 29 + y / 47), np.cos(x / 31 - y / 37), np.sin(y / 23)]
    return np.stack([128 + 60 * wave for wave in waves], axis=2).round().astype(np.uint8)


def difference(result: torch.Tensor, expected: np.ndarray) -> np.ndarray:
    assert result.dtype == torch.uint8
    assert result.shape == expected.shape
    return np.abs(result.numpy().astype(int) - expected.astype(int))


@SIZES
def test_flip_holes_and_canvas_are_equal(height, width):
    image, holes = noise(height, width), [(0, 0, 1, 1), (width // 2, height // 2, width, height)]
    tensor = torch.from_numpy(image)
    assert difference(torch_image_ops.flip_horizontal(tensor), image_ops.flip_horizontal(image)).max() == 0
    assert difference(torch_image_ops.cut_holes(tensor, holes), image_ops.cut_holes(image, holes)).max() == 0
    larger = height + 3, width + 5
    assert difference(torch_image_ops.pad_to(tensor, larger), image_ops.pad_to(image, larger)).max() == 0
    assert torch_image_ops.cut_holes(tensor, []) is tensor


@SIZES
def test_resized_images_are_equal(height, width):
    """Pillow 13 takes some sizes columns first: then a pixel here and there is one level off."""
    image = noise(height, width)
    hw = max(1, int(0.8 * height)), max(1, int(0.8 * width))
    gap = difference(torch_image_ops.resize(torch.from_numpy(image), hw), image_ops.resize(image, hw))
    assert gap.max() <= 1
    assert gap.mean() < 0.01


@pytest.mark.parametrize(("height", "width"), [(97, 131), (131, 97), (64, 64), (480, 640), (333, 200)])
def test_warped_images_are_those_of_opencv(height, width):
    matrix = rotation_matrix(height, width, 5.0)
    for image in (smooth(height, width), noise(height, width)):
        warped = torch_image_ops.warp_affine(torch.from_numpy(image), matrix)
        gap = difference(warped, image_ops.warp_affine(image, matrix))
        assert gap.max() <= LARGEST_GAP
        assert gap.mean() <= MEAN_GAP


def test_identity_returns_the_image():
    image = torch.from_numpy(noise(40, 50))
    assert torch.equal(torch_image_ops.warp_affine(image, np.array([[1.0, 0, 0], [0, 1, 0]])), image)


def test_shift_by_half_a_pixel_is_the_mean_of_two_and_black_comes_in():
    """By hand: (0 + 200) / 2, (200 + 100) / 2; below the image nothing."""
    image = torch.tensor([200, 100], dtype=torch.uint8).reshape(1, 2, 1).repeat(1, 1, 3)
    assert torch_image_ops.warp_affine(image, np.array([[1.0, 0, 0.5], [0, 1, 0]]))[0, :, 0].tolist() == [100, 150]
    assert torch_image_ops.warp_affine(image, np.array([[1.0, 0, 0], [0, 1, 7]]))[0, :, 0].tolist() == [0, 0]
    assert torch_image_ops.warp_affine(image, np.array([[1.0, 0, -9], [0, 1, 0]]))[0, :, 0].tolist() == [0, 0]


@EACH
@SIZES
def test_boxes_and_sizes_do_not_depend_on_the_device(augmentation, height, width):
    image = smooth(height, width)
    boxes = np.array([[0.3 * width, 0.3 * height, 0.7 * width, 0.8 * height]], dtype=np.float32)
    array, of_array = augmentation.apply(image, boxes, np.random.default_rng(1))
    tensor, of_tensor = augmentation.apply(torch.from_numpy(image), boxes, np.random.default_rng(1))
    assert of_tensor.tolist() == of_array.tolist()
    assert difference(tensor, array).max() <= LARGEST_GAP
    assert tensor.is_contiguous()


@EACH
def test_image_stays_as_it_was(augmentation):
    image = torch.from_numpy(noise(60, 80))
    before = image.clone()
    augmentation.apply(image, np.array([[20, 20, 40, 40]]), np.random.default_rng(0))
    assert torch.equal(image, before)


def test_arrays_and_tensors_each_have_their_operations():
    assert image_ops_for(noise(2, 2)) is image_ops
    assert image_ops_for(torch.zeros(2, 2, 3, dtype=torch.uint8)) is torch_image_ops
