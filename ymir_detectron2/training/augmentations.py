"""Augmentations of a training image and its boxes: pure functions, for which `Augmentations` draws the parameters.

Letters: H, W height and width in pixels, G boxes x1 y1 x2 y2 in pixels, x2 and y2 exclusive.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import cv2
import numpy as np

from ..box_geometry import box_areas

MIN_VISIBLE = 0.25
"""A box of which a crop leaves less than this share of its area is dropped."""
_GREY = 114  # around the images of a mosaic; near the mean of COCO
_SCALES = (0.8, 1.25)
_COLOUR_CHANGES = {"light_jitter": (0.1, 0.1, 0.0), "colour_jitter": (0.3, 0.3, 0.5)}
"""Largest change of brightness, contrast and saturation: another hour of the same lamp, and another lamp."""
_MIN_CROP = 0.6  # of either side


class LabelledImage(NamedTuple):
    """An image with its ground truth.

    NumPy uint8, not tensors: it crosses from a worker through a pipe, not through /dev/shm, of which a container has 64
    MB, and is a quarter of the size of float.
    """

    image_hwc: np.ndarray
    """(H, W, 3) uint8, BGR until a training image gets the channel order of INPUT.FORMAT."""
    boxes_xyxy: np.ndarray
    """(G, 4) float32."""
    classes: np.ndarray
    """(G,) int64, or `coco_json.IGNORED`."""


def flip(image: LabelledImage, *, horizontally: bool) -> LabelledImage:
    """Mirror left to right, or upside down; the result is a view with negative strides."""
    height, width = image.image_hwc.shape[:2]
    axis, side = (1, width) if horizontally else (0, height)
    first, last = (0, 2) if horizontally else (1, 3)
    boxes = image.boxes_xyxy.copy()
    # the left edge becomes the right one: x1 = W - x2, x2 = W - x1
    boxes[:, first], boxes[:, last] = side - image.boxes_xyxy[:, last], side - image.boxes_xyxy[:, first]
    return LabelledImage(np.flip(image.image_hwc, axis), boxes, image.classes)


def crop(image: LabelledImage, x1: int, y1: int, x2: int, y2: int) -> LabelledImage:
    """Cut out a window; boxes are clipped to it, and dropped if less than a quarter of their area is left."""
    low, high = (np.array(corner * 2, dtype=np.float32) for corner in ((x1, y1), (x2, y2)))
    clipped = np.clip(image.boxes_xyxy, low, high)
    # 1e-6: a box without area is dropped, not divided by
    visible = box_areas(clipped) / np.maximum(box_areas(image.boxes_xyxy), 1e-6)
    kept = visible >= MIN_VISIBLE
    return LabelledImage(image.image_hwc[y1:y2, x1:x2], clipped[kept] - low, image.classes[kept])


def jitter_colours(image_hwc: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Multiply brightness, contrast (distance from the mean) and saturation (distance from a pixel's grey).

    Args:
        image_hwc: (H, W, 3) uint8.
        brightness, contrast, saturation: factors; 1 changes nothing.
    """
    # in place: as one expression, seven arrays of the size of this one would exist at a time
    values = image_hwc.astype(np.float32)
    values *= brightness
    mean = float(values.mean())
    values -= mean
    values *= contrast
    values += mean
    grey = values.mean(axis=2, keepdims=True)  # (H, W, 1)
    values -= grey
    values *= saturation
    values += grey
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def mosaic(images: Sequence[LabelledImage]) -> LabelledImage:
    """Put four images into one of the size of the first: each whole, in the corner of its quarter, with all its boxes.

    The quarters are filled left to right, then downwards.
    """
    height, width = images[0].image_hwc.shape[:2]
    half_h, half_w = height // 2, width // 2
    canvas = np.full((height, width, 3), _GREY, dtype=np.uint8)
    boxes, classes = [], []
    for number, image in enumerate(images):
        left, top = (number % 2) * half_w, (number // 2) * half_h
        scale = min(half_h / image.image_hwc.shape[0], half_w / image.image_hwc.shape[1])
        h, w = (max(1, round(side * scale)) for side in image.image_hwc.shape[:2])
        if h > half_h or w > half_w:  # an image of two or three pixels has no quarters
            return images[0]
        # INTER_AREA averages what it shrinks; bilinear interpolation would alias
        small = cv2.resize(image.image_hwc, (w, h), interpolation=cv2.INTER_AREA)
        canvas[top : top + h, left : left + w] = small
        ratio = np.array([w / image.image_hwc.shape[1], h / image.image_hwc.shape[0]] * 2, dtype=np.float32)
        boxes.append(image.boxes_xyxy * ratio + np.array([left, top] * 2, dtype=np.float32))
        classes.append(image.classes)
    return LabelledImage(canvas, np.concatenate(boxes), np.concatenate(classes))


def augmentation_bytes_per_pixel(names: Sequence[str]) -> int:
    """Return the memory that the augmentations of a training image need at their peak, besides the image itself."""
    others = 3 * 3 + 3 if "mosaic" in names else 0  # three images as large, and the canvas
    return others + (4 * 3 + 4 + 3 if _COLOUR_CHANGES.keys() & set(names) else 0)  # float32, its grey, and the result


class Augmentations:
    """The augmentations that the setting `augment` names, with parameters drawn for each image."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def before_resizing(
        self, image: LabelledImage, draw_another: Callable[[np.random.Generator], LabelledImage | None],
        generator: np.random.Generator,
    ) -> LabelledImage:  # fmt: skip
        """Apply mosaic, crop, flip and colours, each to half of the images.

        Args:
            draw_another: draws a further image of the set; None if that cannot be read.
        """
        # numbers are drawn for active augmentations only: switching one on changes the draws of those after it
        if "mosaic" in self._names and generator.random() < 0.5:
            others = [draw_another(generator) for _ in range(3)]
            image = mosaic([image, *(other or image for other in others)])
        if "random_crop" in self._names and generator.random() < 0.5:
            image = crop(image, *_random_window(image.image_hwc.shape[:2], generator))
        if "vertical_flip" in self._names and generator.random() < 0.5:
            image = flip(image, horizontally=False)
        for name, largest_change in _COLOUR_CHANGES.items():
            if name in self._names and generator.random() < 0.5:
                factors = 1 + generator.uniform(-1.0, 1.0, 3) * np.asarray(largest_change)
                image = image._replace(image_hwc=jitter_colours(image.image_hwc, *map(float, factors)))
        return image

    def scale(self, generator: np.random.Generator) -> float:
        """Return the factor on the training size of this image."""
        if "scale_jitter" not in self._names:
            return 1.0
        # uniform in the logarithm: 0.8 and 1.25 are equally far from 1
        low, high = np.log(_SCALES)
        return float(np.exp(generator.uniform(low, high)))


def _random_window(image_hw: tuple[int, ...], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw x1 y1 x2 y2 of a window with sides of at least 60 %."""
    height, width = (max(1, round(side * generator.uniform(_MIN_CROP, 1.0))) for side in image_hw)
    top = int(generator.integers(0, image_hw[0] - height, endpoint=True))
    left = int(generator.integers(0, image_hw[1] - width, endpoint=True))
    return left, top, left + width, top + height
