"""The image operations that augmentations are made of, for NumPy arrays in main memory (OpenCV, PIL).

`torch_image_ops.py` has the same functions for torch tensors on the detector's device, where the image already is;
`ImageOps` describes both. Boxes and random numbers are handled in `augmentations.py`, for both alike.

Letters: H and W height and width of an image in pixels. Images are (H, W, 3) uint8 BGR and are never changed in place.
"""

from __future__ import annotations

from typing import Any, Protocol, Sequence, Tuple

import cv2
import numpy as np

from ..retinanet.resize import resize_image

Hole = Tuple[int, int, int, int]
"""x1 y1 x2 y2 in whole pixels, x2 and y2 exclusive, inside the image."""


class ImageOps(Protocol):
    """The five operations; every result is contiguous."""

    def flip_horizontal(self, image: Any) -> Any:
        """Return the image mirrored left and right."""

    def cut_holes(self, image: Any, holes: Sequence[Hole]) -> Any:
        """Return the image with black holes; the image itself if there are none."""

    def resize(self, image: Any, hw: tuple[int, int]) -> Any:
        """Return the image at height hw[0] and width hw[1]: PIL's bilinear filter, the same numbers everywhere."""

    def warp_affine(self, image: Any, matrix: np.ndarray) -> Any:
        """Return the image mapped by a (2, 3) affine matrix from old to new pixels, as `cv2.warpAffine`.

        Same size, bilinear, black outside of the old image. Tensors and arrays differ by one grey level in places.
        """

    def pad_to(self, image: Any, hw: tuple[int, int]) -> Any:
        """Return the image in the upper left corner of a black one, of height hw[0] and width hw[1] >= its own."""


def flip_horizontal(image: np.ndarray) -> np.ndarray:
    # not image[:, ::-1]: torch.from_numpy refuses negative strides
    return cv2.flip(image, 1)


def cut_holes(image: np.ndarray, holes: Sequence[Hole]) -> np.ndarray:
    augmented = image.copy() if holes else image
    for x1, y1, x2, y2 in holes:
        augmented[y1:y2, x1:x2] = 0
    return augmented


def resize(image: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    return resize_image(image, hw)


def warp_affine(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, matrix, (image.shape[1], image.shape[0]), flags=cv2.INTER_LINEAR)


def pad_to(image: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros((*hw, image.shape[2]), dtype=np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
