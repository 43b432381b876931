"""The four views of a picture that CALD compares: flipped, with holes, smaller, rotated.

Letters: n boxes, H and W height and width of the picture in pixels. Pictures are (H, W, 3) uint8 BGR and are never
changed in place. Source of the parameters: the authors' cald/cald_helper.py (arXiv 2103.10374) for flip, holes and
size; the YMIR executors det-yolov5-tmi and det-mmdetection-tmi for the rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence, Tuple

import cv2
import numpy as np

from .scores import areas, as_boxes

RESIZE_FACTOR = 0.8
ROTATION_DEGREES = 5.0
"""Counter-clockwise as seen, as OpenCV counts."""
HOLES = 2
HOLE_TRIES = 50
HOLE_SIDE = (0.05, 0.2)
"""Smallest and largest side of a hole, as a fraction of the picture's side."""
HOLE_COVERS = (0.1, 0.4)
"""A hole is cut if the box it covers most loses a fraction of its area between these."""

Apply = Callable[[np.ndarray, np.ndarray, np.random.Generator], Tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Augmentation:
    """A view of a picture, and where the boxes of the picture are in it."""

    name: str
    apply: Apply
    """(picture, boxes_xyxy (n, 4), random numbers) -> (view, boxes (n, 4) float64 in pixels of the view)."""


def flip(image: np.ndarray, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mirror left and right."""
    return cv2.flip(image, 1), flip_boxes(boxes_xyxy, image.shape[1])


def cutout(image: np.ndarray, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Black out at most HOLES rectangles that cover a part of some box, but not most of it; boxes stay.

    The picture itself comes back if it has no boxes or if none of HOLE_TRIES rectangles fits.
    """
    boxes, view, cut = as_boxes(boxes_xyxy), image, 0
    for _ in range(HOLE_TRIES if len(boxes) else 0):
        hole = _random_hole(image.shape[0], image.shape[1], rng)
        if not HOLE_COVERS[0] <= np.max(covered_fractions(hole, boxes)) <= HOLE_COVERS[1]:
            continue
        x1, y1, x2, y2 = hole
        view = image.copy() if view is image else view
        view[y1:y2, x1:x2] = 0
        cut += 1
        if cut == HOLES:
            break
    return view, boxes


def resize(image: np.ndarray, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture of RESIZE_FACTOR the size, rounded down, at least 1 pixel.

    The boxes shrink by the factor that the rounded size really has, so that they stay on their objects; the authors
    use 0.8 always, which is the same for sides that are multiples of 5 and less than a pixel off for others.
    """
    height, width = image.shape[:2]
    new_width, new_height = max(1, int(RESIZE_FACTOR * width)), max(1, int(RESIZE_FACTOR * height))
    view = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    scale = np.array([new_width / width, new_height / height] * 2)
    return view, as_boxes(boxes_xyxy) * scale


def rotate(image: np.ndarray, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotate by ROTATION_DEGREES inside the same canvas; a box becomes the upright box around its corners, clamped."""
    height, width = image.shape[:2]
    matrix = rotation_matrix(height, width, ROTATION_DEGREES)
    view = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    limit = np.array([width, height, width, height], dtype=np.float64)
    return view, np.clip(rotate_boxes(boxes_xyxy, matrix), 0.0, limit)


def flip_boxes(boxes_xyxy: np.ndarray, width: int) -> np.ndarray:
    """(n, 4) boxes of the picture mirrored left and right: x' = W - x."""
    x1, y1, x2, y2 = as_boxes(boxes_xyxy).T
    return np.stack([width - x2, y1, width - x1, y2], axis=1)


def rotation_matrix(height: int, width: int, degrees: float) -> np.ndarray:
    """(2, 3) affine map of a rotation around the centre of an H x W picture.

    A picture higher than wide is shrunk by W / H as well: so do the YMIR executors, and their values are the reference.
    They pass through float32 on the way, this does not: their matrices differ from these by less than 1e-6 of an entry.
    """
    scale = width / max(height, width)
    matrix: np.ndarray = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    return matrix


def rotate_boxes(boxes_xyxy: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, 4) upright boxes around the mapped corners, not clamped to any picture."""
    x1, y1, x2, y2 = as_boxes(boxes_xyxy).T
    corner_x, corner_y = np.stack([x1, x2, x2, x1]), np.stack([y1, y1, y2, y2])  # (4, n) each
    mapped_x = matrix[0, 0] * corner_x + matrix[0, 1] * corner_y + matrix[0, 2]
    mapped_y = matrix[1, 0] * corner_x + matrix[1, 1] * corner_y + matrix[1, 2]
    return np.stack([mapped_x.min(axis=0), mapped_y.min(axis=0), mapped_x.max(axis=0), mapped_y.max(axis=0)], axis=1)


def covered_fractions(hole_xyxy: Sequence[int], boxes_xyxy: np.ndarray) -> np.ndarray:
    """(n,) how much of each box's area lies in the hole, in [0, 1]; 0 for a box without area."""
    boxes, hole = as_boxes(boxes_xyxy), as_boxes(np.asarray(hole_xyxy))
    shared = np.concatenate([np.maximum(boxes[:, :2], hole[:, :2]), np.minimum(boxes[:, 2:], hole[:, 2:])], axis=1)
    total = areas(boxes)
    fractions: np.ndarray = np.divide(areas(shared), total, out=np.zeros_like(total), where=total > 0)
    return fractions


def _random_hole(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """x1 y1 x2 y2 of a rectangle inside the picture, in whole pixels, drawn uniformly; it may be empty."""
    hole_height, hole_width = rng.uniform(*HOLE_SIDE) * height, rng.uniform(*HOLE_SIDE) * width
    top, left = rng.uniform(0.0, height - hole_height), rng.uniform(0.0, width - hole_width)
    return int(left), int(top), int(left + hole_width), int(top + hole_height)


AUGMENTATIONS = (
    Augmentation("flip", flip),
    Augmentation("cutout", cutout),
    Augmentation("resize", resize),
    Augmentation("rotate", rotate),
)
"""The views of the paper's default setting "FCDR", in its order."""
