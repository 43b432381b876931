"""Views of pictures in main memory: NumPy, OpenCV and PIL. The functions are described in `pixel_views.py`."""

from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np

from ..retinanet.resize import resize_image


def mirrored(image: np.ndarray) -> np.ndarray:
    return cv2.flip(image, 1)


def with_holes(image: np.ndarray, holes: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    view = image.copy() if holes else image
    for x1, y1, x2, y2 in holes:
        view[y1:y2, x1:x2] = 0
    return view


def resized(image: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    return resize_image(image, hw)


def rotated(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, matrix, (image.shape[1], image.shape[0]), flags=cv2.INTER_LINEAR)


def on_canvas(image: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros((*hw, image.shape[2]), dtype=np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
