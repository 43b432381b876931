"""CALD's four augmentations of an image and its boxes: flip, cutout, resize, rotate.

Letters: n boxes, H and W height and width of the image in pixels. Images are (H, W, 3) uint8 BGR, arrays or
tensors, and are never changed in place; the augmented image is on the device of its image. Source of the parameters:
the authors' cald/cald_helper.py (arXiv 2103.10374) for flip, holes and size; the YMIR executors det-yolov5-tmi and
det-mmdetection-tmi for the rotation.

What is augmented is the image as the network gets it, after it was resized once: so the smaller copy is really smaller
for the network, and on a GPU no image has to be uploaded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Tuple

import cv2
import numpy as np

from ..box_geometry import as_boxes, box_areas, pairwise_intersection
from ..detections import Pixels
from . import image_ops
from .image_ops import Hole, ImageOps

RESIZE_FACTOR = 0.8
ROTATION_DEGREES = 5.0
"""Counter-clockwise as seen, as OpenCV counts."""
HOLES = 2
HOLE_TRIES = 50
HOLE_SIDE = (0.05, 0.2)
"""Smallest and largest side of a hole, as a fraction of the image's side."""
HOLE_COVERS = (0.1, 0.4)
"""A hole is cut if the box it covers most loses a fraction of its area between these."""

Apply = Callable[[Any, np.ndarray, np.random.Generator], Tuple[Any, np.ndarray]]


@dataclass(frozen=True)
class Augmentation:
    """An operation on an image together with its boxes."""

    name: str
    apply: Apply
    """(image, boxes_xyxy (n, 4), random numbers) -> (augmented image, boxes (n, 4) float64 in its pixels)."""
    mirrors: bool = False
    """Whether left and right are exchanged."""

    def carry_back(self, box_xyxy: np.ndarray, augmented_xyxy: np.ndarray, reference_xyxy: np.ndarray) -> np.ndarray:
        """Return a box of the augmented image as seen from a box near to it: by the map that carries that one back.

        The IoU of the two is the same in both images, which no inverse of a rotation would keep: the upright box around
        the corners of an upright box is larger.

        Args:
            box_xyxy: (4,) in the augmented image.
            augmented_xyxy, reference_xyxy: (4,) each, the near box in the augmented and in the plain image.
        """
        box, augmented, reference = (
            np.asarray(one, dtype=np.float64).reshape(2, 2) for one in (box_xyxy, augmented_xyxy, reference_xyxy)
        )
        side = augmented[1] - augmented[0]
        scale = np.divide(reference[1] - reference[0], side, out=np.ones(2), where=side > 0)
        if self.mirrors:
            scale[0] = -scale[0]
        corners = reference.mean(axis=0) + (box - augmented.mean(axis=0)) * scale
        return np.sort(corners, axis=0).reshape(4)


def flip(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Flip left and right."""
    return image_ops_for(image).flip_horizontal(image), flip_boxes(boxes_xyxy, image.shape[1])


def cutout(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Black out at most HOLES rectangles that cover a part of some box, but not most of it; boxes stay.

    Returns the image itself if it has no boxes or if none of HOLE_TRIES rectangles fits.
    """
    boxes = as_boxes(boxes_xyxy)
    holes = find_holes(image.shape[0], image.shape[1], boxes, rng)
    return image_ops_for(image).cut_holes(image, holes), boxes


def resize(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Shrink to RESIZE_FACTOR of the size, rounded down, at least 1 pixel.

    The boxes shrink by the factor that the rounded size really has, so that they stay on their objects; the authors
    use 0.8 always, which is the same for sides that are multiples of 5 and less than a pixel off for others.
    """
    height, width = image.shape[:2]
    new_height, new_width = smaller_hw(height, width)
    scale = np.array([new_width / width, new_height / height] * 2)
    return image_ops_for(image).resize(image, (new_height, new_width)), as_boxes(boxes_xyxy) * scale


def rotate(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Rotate by ROTATION_DEGREES inside the same canvas; a box becomes the upright box around its corners, clamped."""
    height, width = image.shape[:2]
    matrix = rotation_matrix(height, width, ROTATION_DEGREES)
    limit = np.array([width, height, width, height], dtype=np.float64)
    # clamped, unlike the peers: a detector never predicts a box outside of the image
    return image_ops_for(image).warp_affine(image, matrix), np.clip(rotate_boxes(boxes_xyxy, matrix), 0.0, limit)


def image_ops_for(image: Pixels) -> ImageOps:
    """Return the module with the operations for this kind of image, `image_ops` or `torch_image_ops`."""
    if isinstance(image, np.ndarray):
        return image_ops
    from . import torch_image_ops  # a tensor means that torch is imported; arrays do without

    return torch_image_ops


def find_holes(
    height: int, width: int, boxes_xyxy: np.ndarray, rng: np.random.Generator, *, whole_pixels: bool = True
) -> list[Hole]:
    """Return at most HOLES holes in an H x W image, each of which covers a part of some box within HOLE_COVERS.

    Args:
        whole_pixels: judge a hole by the pixels that it blackens; False: as it was drawn, before its sides are rounded
            down to whole pixels, as the authors and the YMIR executors do.
    """
    boxes = as_boxes(boxes_xyxy)
    if len(boxes) == 0:
        return []
    # all tries at once: the same holes as one try after the other, which the first two that fit would end
    drawn = _random_rectangles(height, width, rng)
    pixels = drawn.astype(np.int64)
    most = covered_fractions(pixels if whole_pixels else drawn, boxes).max(axis=1)  # (HOLE_TRIES,)
    fitting = np.flatnonzero((most >= HOLE_COVERS[0]) & (most <= HOLE_COVERS[1]))[:HOLES]
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in pixels[fitting].tolist()]


def smaller_hw(height: int, width: int) -> tuple[int, int]:
    """Return height and width times RESIZE_FACTOR, rounded down, at least 1."""
    return max(1, int(RESIZE_FACTOR * height)), max(1, int(RESIZE_FACTOR * width))


def flip_boxes(boxes_xyxy: np.ndarray, width: int) -> np.ndarray:
    """Return (n, 4) boxes of the image flipped left and right: x' = W - x."""
    x1, y1, x2, y2 = as_boxes(boxes_xyxy).T
    return np.stack([width - x2, y1, width - x1, y2], axis=1)


def rotation_matrix(height: int, width: int, degrees: float) -> np.ndarray:
    """Return the (2, 3) affine map of a rotation around the centre of an H x W image.

    An image higher than wide is shrunk by W / H as well: so do the YMIR executors, and their values are the reference.
    They compute in float32, this does not: their matrices differ from these by less than 1e-6 of an entry.
    """
    scale = width / max(height, width)
    matrix: np.ndarray = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    return matrix


def rotate_boxes(boxes_xyxy: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return (n, 4) upright boxes around the mapped corners, not clamped to any image."""
    x1, y1, x2, y2 = as_boxes(boxes_xyxy).T
    corner_x, corner_y = np.stack([x1, x2, x2, x1]), np.stack([y1, y1, y2, y2])  # (4, n) each
    mapped_x = matrix[0, 0] * corner_x + matrix[0, 1] * corner_y + matrix[0, 2]
    mapped_y = matrix[1, 0] * corner_x + matrix[1, 1] * corner_y + matrix[1, 2]
    return np.stack([mapped_x.min(axis=0), mapped_y.min(axis=0), mapped_x.max(axis=0), mapped_y.max(axis=0)], axis=1)


def covered_fractions(holes_xyxy: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return (t, n): the fraction of each of n boxes' area inside each of t holes; 0 for a box without area."""
    boxes = as_boxes(boxes_xyxy)
    covered, total = pairwise_intersection(as_boxes(holes_xyxy), boxes), box_areas(boxes)
    fractions: np.ndarray = np.divide(covered, total, out=np.zeros_like(covered), where=total > 0)
    return fractions


def _random_rectangles(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(HOLE_TRIES, 4) x1 y1 x2 y2 inside the image, drawn uniformly; in whole pixels some may be empty."""
    share = rng.random((HOLE_TRIES, 4))  # of height, width, the room above, the room on the left
    # columns in the order of x, y: width before height, left before top
    sides = (HOLE_SIDE[0] + (HOLE_SIDE[1] - HOLE_SIDE[0]) * share[:, 1::-1]) * [width, height]
    corner = share[:, :1:-1] * ([width, height] - sides)
    return np.concatenate([corner, corner + sides], axis=1)


AUGMENTATIONS = (
    Augmentation("flip", flip, mirrors=True),
    Augmentation("cutout", cutout),
    Augmentation("resize", resize),
    Augmentation("rotate", rotate),
)
"""The paper's default setting "FCDR", in its order."""
