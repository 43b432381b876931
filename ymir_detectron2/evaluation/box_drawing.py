"""Boxes with labels in the pixels of an image: in plots, in TensorBoard and by `Prediction.plot`.

A label would hide others, and small objects, if each box had one: it is drawn where it covers no other label. Lines and
letters grow with the image, so that an image looks the same however large it is shown.

Letters: N boxes, H and W height and width of the image.
"""

from __future__ import annotations

import colorsys
import functools
import math
from typing import NamedTuple, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import drawable_names, split_by_font

Colour = Tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_GOLDEN_RATIO = 0.618034
_MIN_FONT_PX = 11  # below, Chinese characters cannot be read
_PADDING_PX = 2


class BoxGroup(NamedTuple):
    """Boxes that are drawn in the same way."""

    boxes_xyxy: np.ndarray
    """(N, 4) x1 y1 x2 y2 in pixels of the image, x2 and y2 exclusive."""
    colours: Sequence[Colour]
    """N, or one for all."""
    labels: Sequence[str] = ()
    """N, or fewer: of the first boxes. The first ones are placed first. '' is none."""
    line_px: int = 0
    """Width of the lines; 0: by the size of the image."""
    labels_below: bool = False
    """Below the boxes, not above: two groups often have the same boxes."""


def class_colour(class_id: int) -> Colour:
    """Return the colour of a class, bright enough for photographs; neighbours differ, and so do the first dozens."""
    # the golden ratio: whatever their number, no two hues come close before all of the circle is in use
    hue = (0.36 + class_id * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hls_to_rgb(hue, (0.55, 0.7, 0.42)[class_id // 8 % 3], 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(
    image_rgb: np.ndarray, boxes_xyxy: np.ndarray, scores: np.ndarray, classes: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """Draw detections in the colours of their classes, each labelled with name and score, e.g. `cat 0.93`.

    Args:
        image_rgb: (H, W, 3) uint8; it is not changed.
        boxes_xyxy: (N, 4) x1 y1 x2 y2 in pixels of the image.
        scores: (N,) in [0, 1].
        classes: (N,) positions in the class names.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    names = drawable_names(class_names)
    best_first = np.argsort(-scores, kind="stable")
    ids = classes[best_first].tolist()
    labels = [f"{names[class_id]} {score:.2f}" for class_id, score in zip(ids, scores[best_first].tolist())]
    return draw_boxes(image_rgb, [BoxGroup(boxes_xyxy[best_first], list(map(class_colour, ids)), labels)])


def draw_boxes(image_rgb: np.ndarray, groups: Sequence[BoxGroup]) -> np.ndarray:
    """Draw boxes into a copy of an image, group after group, and then the labels of all.

    Args:
        image_rgb: (H, W, 3) uint8.
        groups: of each, the first boxes are drawn last, over the others.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = Image.fromarray(np.ascontiguousarray(image_rgb))
    draw = ImageDraw.Draw(image)
    for group in groups:
        _draw_outlines(draw, group, group.line_px or line_width_px(image_rgb.shape))
    labels = _LabelPlaces(draw, image.size, font_size_px(image_rgb.shape))
    for group in groups:
        for label, box, colour in zip(group.labels, group.boxes_xyxy.tolist(), _colour_of_each(group)):
            if label:
                labels.add(label, box, colour, below=group.labels_below)
    return np.asarray(image)


def line_width_px(image_hw: Sequence[int]) -> int:
    """Return the width of lines for an image of this height and width: 1 below 300 pixels, 2 up to 1000, then more."""
    side = (image_hw[0] + image_hw[1]) / 2
    return 1 if side < 300 else max(2, round(0.0025 * side))


def font_size_px(image_hw: Sequence[int]) -> int:
    """Return the size of letters for an image of this height and width: 11 up to 600 pixels, then more."""
    return max(_MIN_FONT_PX, round(0.018 * (image_hw[0] + image_hw[1]) / 2))


def _colour_of_each(group: BoxGroup) -> Sequence[Colour]:
    return [group.colours[0]] * len(group.boxes_xyxy) if len(group.colours) == 1 else group.colours


def _draw_outlines(draw: ImageDraw.ImageDraw, group: BoxGroup, line_px: int) -> None:
    # inclusive, whole pixels; at least one, as in `pixel_boxes` of a result
    corners = np.rint(group.boxes_xyxy).astype(np.int64)
    corners[:, 2:] = np.maximum(corners[:, 2:] - 1, corners[:, :2])
    for box, colour in reversed(list(zip(corners.tolist(), _colour_of_each(group)))):
        draw.rectangle(box, outline=colour, width=line_px)


class _LabelPlaces:
    """Draws labels on a ground of the colour of their box, where none covers another."""

    def __init__(self, draw: ImageDraw.ImageDraw, image_wh: tuple[int, int], font_px: int) -> None:
        self._draw, self._font_px = draw, font_px
        self._width, self._height = image_wh
        self._occupied = np.zeros((0, 4), dtype=np.int64)  # x1 y1 x2 y2

    def add(self, label: str, box_xyxy: Sequence[float], colour: Colour, *, below: bool) -> None:
        """Draw a label at its box, within the image; leave it out where another one is, or where it has no room."""
        height = self._font_px + 2 * _PADDING_PX
        x1, y1, _, y2 = map(round, box_xyxy)
        # at the edge of the image, inside of the box
        y = max(0, min(y2, self._height - height)) if below else max(0, min(y1 - height, self._height - height))
        if self._is_occupied((x1, y, x1 + 1, y + height)):  # measuring the text takes longer
            return
        stretches = _measure(label, self._font_px)
        width = math.ceil(sum(length for _, _, length in stretches)) + 2 * _PADDING_PX
        x = max(0, min(x1, self._width - width))
        place = (x, y, x + width, y + height)
        if place[2] > self._width or place[3] > self._height or self._is_occupied(place):
            return
        self._occupied = np.concatenate([self._occupied, [place]])
        self._draw.rectangle([x, y, x + width - 1, y + height - 1], fill=colour)
        ink = _BLACK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else _WHITE
        left, baseline = float(x + _PADDING_PX), y + _PADDING_PX + 0.86 * self._font_px
        for text, file, length in stretches:
            self._draw.text((left, baseline), text, fill=ink, font=_load_font(file, self._font_px), anchor="ls")
            left += length

    def _is_occupied(self, place: tuple[int, int, int, int]) -> bool:
        meet = (self._occupied[:, :2] < place[2:]) & (place[:2] < self._occupied[:, 2:])  # (n, 2)
        return bool(meet.all(axis=1).any())


def _measure(text: str, font_px: int) -> list[tuple[str, str, float]]:
    """Return the stretches of a text with their font files and lengths in pixels."""
    # character by character, without kerning: Pillow takes half a millisecond for a text that it has not seen
    return [
        (stretch, file, sum(_advance_px(character, file, font_px) for character in stretch))
        for stretch, file in split_by_font(text)
    ]


@functools.lru_cache(maxsize=4096)
def _advance_px(character: str, font_file: str, font_px: int) -> float:
    return float(_load_font(font_file, font_px).getlength(character))


@functools.lru_cache(maxsize=16)
def _load_font(file: str, font_px: int) -> ImageFont.FreeTypeFont:
    # matplotlib from 3.11 on names a face of a collection, e.g. the Chinese one of a font for three languages
    return ImageFont.truetype(str(file), font_px, index=getattr(file, "face_index", 0))
