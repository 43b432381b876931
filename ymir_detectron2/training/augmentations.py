"""Changes of a training picture and its boxes. Pure functions; `Augmentations` draws their numbers.

Letters: H, W height and width in pixels, G boxes x1 y1 x2 y2 in pixels, x2 and y2 exclusive.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import cv2
import numpy as np

LEAST_VISIBLE = 0.25
"""A box of which a crop leaves less than this share of its area is dropped."""
_GREY = 114  # what surrounds the pictures of a mosaic, near the mean of COCO
_SCALES = (0.8, 1.25)
_LEAST_CROP = 0.6  # of either side


class Labelled(NamedTuple):
    """A picture with its objects."""

    image: np.ndarray
    """(H, W, 3) uint8."""
    boxes_xyxy: np.ndarray
    """(G, 4) float32."""
    classes: np.ndarray
    """(G,) int64."""


def flip_vertically(picture: Labelled) -> Labelled:
    """Mirror upside down."""
    boxes = picture.boxes_xyxy.copy()
    height = picture.image.shape[0]
    boxes[:, 1], boxes[:, 3] = height - picture.boxes_xyxy[:, 3], height - picture.boxes_xyxy[:, 1]
    return Labelled(np.flip(picture.image, 0), boxes, picture.classes)


def crop(picture: Labelled, x1: int, y1: int, x2: int, y2: int) -> Labelled:
    """Cut out a window; boxes are clipped to it, and dropped where less than a quarter of them is left."""
    boxes = picture.boxes_xyxy
    clipped = np.stack(
        [np.clip(boxes[:, 0], x1, x2), np.clip(boxes[:, 1], y1, y2),
         np.clip(boxes[:, 2], x1, x2), np.clip(boxes[:, 3], y1, y2)], axis=1,
    )  # fmt: skip
    left = _areas(clipped) / np.maximum(_areas(boxes), 1e-6)
    kept = left >= LEAST_VISIBLE
    moved = clipped[kept] - np.array([x1, y1, x1, y1], dtype=np.float32)
    return Labelled(picture.image[y1:y2, x1:x2], moved.astype(np.float32), picture.classes[kept])


def shift_colours(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Multiply brightness, then the distance from the mean grey, then that from each pixel's own grey; (H, W, 3) uint8.

    1 leaves each as it is.
    """
    values = image.astype(np.float32) * brightness
    middle = float(values.mean())
    values = (values - middle) * contrast + middle
    grey = values.mean(axis=2, keepdims=True)
    return np.clip(np.rint((values - grey) * saturation + grey), 0, 255).astype(np.uint8)


def mosaic(pictures: Sequence[Labelled]) -> Labelled:
    """Four pictures in one of the size of the first: each whole, in the corner of its quarter, with all its objects.

    The quarters are filled left to right, then downwards.
    """
    height, width = pictures[0].image.shape[:2]
    half_h, half_w = height // 2, width // 2
    canvas = np.full((height, width, 3), _GREY, dtype=np.uint8)
    boxes, classes = [], []
    for number, picture in enumerate(pictures):
        left, top = (number % 2) * half_w, (number // 2) * half_h
        scale = min(half_h / picture.image.shape[0], half_w / picture.image.shape[1])
        h, w = (max(1, round(side * scale)) for side in picture.image.shape[:2])
        if h > half_h or w > half_w:  # a picture of two or three pixels has no quarters
            return pictures[0]
        small = cv2.resize(picture.image, (w, h), interpolation=cv2.INTER_AREA)
        canvas[top : top + h, left : left + w] = small
        ratio = np.array([w / picture.image.shape[1], h / picture.image.shape[0]] * 2, dtype=np.float32)
        boxes.append(picture.boxes_xyxy * ratio + np.array([left, top] * 2, dtype=np.float32))
        classes.append(picture.classes)
    return Labelled(canvas, np.concatenate(boxes), np.concatenate(classes))


class Augmentations:
    """The changes that the key `augment` names, each with numbers drawn anew for every picture."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def before_resizing(
        self, picture: Labelled, another: Callable[[np.random.Generator], Labelled | None],
        generator: np.random.Generator,
    ) -> Labelled:  # fmt: skip
        """Mosaic, crop, flip and colours, each of half of the pictures.

        Args:
            another: gives a further picture of the set by chance, None for one that cannot be read.
        """
        if "mosaic" in self._names and generator.random() < 0.5:
            others = [another(generator) for _ in range(3)]
            picture = mosaic([picture, *(other or picture for other in others)])
        if "random_crop" in self._names and generator.random() < 0.5:
            picture = crop(picture, *_window(picture.image.shape[:2], generator))
        if "vertical_flip" in self._names and generator.random() < 0.5:
            picture = flip_vertically(picture)
        if "colour_jitter" in self._names and generator.random() < 0.5:
            numbers = generator.uniform((0.7, 0.7, 0.5), (1.3, 1.3, 1.5))
            picture = picture._replace(image=shift_colours(picture.image, *map(float, numbers)))
        return picture

    def scale(self, generator: np.random.Generator) -> float:
        """What the chosen size is multiplied with."""
        if "scale_jitter" not in self._names:
            return 1.0
        low, high = np.log(_SCALES)
        return float(np.exp(generator.uniform(low, high)))


def _window(image_hw: tuple[int, ...], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """A window with sides of at least 60 %, x1 y1 x2 y2."""
    height, width = (max(1, round(side * generator.uniform(_LEAST_CROP, 1.0))) for side in image_hw)
    top = int(generator.integers(0, image_hw[0] - height, endpoint=True))
    left = int(generator.integers(0, image_hw[1] - width, endpoint=True))
    return left, top, left + width, top + height


def _areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    return np.asarray((boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1]))
