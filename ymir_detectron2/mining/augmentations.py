"""The four views of a picture that CALD compares: flipped, with holes, smaller, rotated.

Letters: n boxes, H and W height and width of the picture in pixels. Pictures are (H, W, 3) uint8 BGR, arrays or
tensors, and are never changed in place; a view lies where its picture lies. Source of the parameters: the authors'
cald/cald_helper.py (arXiv 2103.10374) for flip, holes and size; the YMIR executors det-yolov5-tmi and
det-mmdetection-tmi for the rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Tuple

import cv2
import numpy as np

from .pixel_views import Hole, pixel_views
from .scores import areas, as_boxes

if TYPE_CHECKING:
    from ..engines.base import Pixels

RESIZE_FACTOR = 0.8
ROTATION_DEGREES = 5.0
"""Counter-clockwise as seen, as OpenCV counts."""
HOLES = 2
HOLE_TRIES = 50
HOLE_SIDE = (0.05, 0.2)
"""Smallest and largest side of a hole, as a fraction of the picture's side."""
HOLE_COVERS = (0.1, 0.4)
"""A hole is cut if the box it covers most loses a fraction of its area between these."""

Apply = Callable[[Any, np.ndarray, np.random.Generator], Tuple[Any, np.ndarray]]


@dataclass(frozen=True)
class Augmentation:
    """A view of a picture, and where the boxes of the picture are in it."""

    name: str
    apply: Apply
    """(picture, boxes_xyxy (n, 4), random numbers) -> (view, boxes (n, 4) float64 in pixels of the view)."""


def flip(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Mirror left and right."""
    return pixel_views(image).mirrored(image), flip_boxes(boxes_xyxy, image.shape[1])


def cutout(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Black out at most HOLES rectangles that cover a part of some box, but not most of it; boxes stay.

    The picture itself comes back if it has no boxes or if none of HOLE_TRIES rectangles fits.
    """
    boxes = as_boxes(boxes_xyxy)
    holes = find_holes(image.shape[0], image.shape[1], boxes, rng)
    return pixel_views(image).with_holes(image, holes), boxes


def resize(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """A picture of RESIZE_FACTOR the size, rounded down, at least 1 pixel.

    The boxes shrink by the factor that the rounded size really has, so that they stay on their objects; the authors
    use 0.8 always, which is the same for sides that are multiples of 5 and less than a pixel off for others.
    """
    height, width = image.shape[:2]
    new_height, new_width = smaller_hw(height, width)
    scale = np.array([new_width / width, new_height / height] * 2)
    return pixel_views(image).resized(image, (new_height, new_width)), as_boxes(boxes_xyxy) * scale


def rotate(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Rotate by ROTATION_DEGREES inside the same canvas; a box becomes the upright box around its corners, clamped."""
    height, width = image.shape[:2]
    matrix = rotation_matrix(height, width, ROTATION_DEGREES)
    limit = np.array([width, height, width, height], dtype=np.float64)
    return pixel_views(image).rotated(image, matrix), np.clip(rotate_boxes(boxes_xyxy, matrix), 0.0, limit)


def find_holes(
    height: int, width: int, boxes_xyxy: np.ndarray, rng: np.random.Generator, *, whole_pixels: bool = True
) -> list[Hole]:
    """At most HOLES holes in an H x W picture, each of which covers a part of some box as HOLE_COVERS says.

    Args:
        whole_pixels: judge a hole by the pixels that it blackens; False: as it was drawn, before its sides are rounded
            down to whole pixels, as the authors and the YMIR executors do.
    """
    boxes = as_boxes(boxes_xyxy)
    if len(boxes) == 0:
        return []
    drawn = _random_rectangles(height, width, rng)
    pixels = drawn.astype(np.int64)
    most = covered_fractions(pixels if whole_pixels else drawn, boxes).max(axis=1)  # (HOLE_TRIES,)
    fitting = np.flatnonzero((most >= HOLE_COVERS[0]) & (most <= HOLE_COVERS[1]))[:HOLES]
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in pixels[fitting].tolist()]


def smaller_hw(height: int, width: int) -> tuple[int, int]:
    """Height and width times RESIZE_FACTOR, rounded down, at least 1."""
    return max(1, int(RESIZE_FACTOR * height)), max(1, int(RESIZE_FACTOR * width))


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


def covered_fractions(holes_xyxy: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """(t, n) how much of each of n boxes' area lies in each of t holes, in [0, 1]; 0 for a box without area."""
    boxes, holes = as_boxes(boxes_xyxy), as_boxes(holes_xyxy)[:, None]
    shared = np.concatenate(
        [np.maximum(boxes[:, :2], holes[..., :2]), np.minimum(boxes[:, 2:], holes[..., 2:])], axis=2
    )
    covered, total = areas(shared), areas(boxes)
    fractions: np.ndarray = np.divide(covered, total, out=np.zeros_like(covered), where=total > 0)
    return fractions


def _random_rectangles(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(HOLE_TRIES, 4) x1 y1 x2 y2 inside the picture, drawn uniformly; in whole pixels some may be empty."""
    share = rng.random((HOLE_TRIES, 4))  # of height, width, the room above, the room on the left
    sides = (HOLE_SIDE[0] + (HOLE_SIDE[1] - HOLE_SIDE[0]) * share[:, 1::-1]) * [width, height]
    corner = share[:, :1:-1] * ([width, height] - sides)
    return np.concatenate([corner, corner + sides], axis=1)


AUGMENTATIONS = (
    Augmentation("flip", flip),
    Augmentation("cutout", cutout),
    Augmentation("resize", resize),
    Augmentation("rotate", rotate),
)
"""The views of the paper's default setting "FCDR", in its order."""
