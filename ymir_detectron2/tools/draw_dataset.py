"""A drawn detection dataset: discs, bars and triangles on textured backgrounds, for the demo and for tests.

Every image depends only on the seed and its number, so that a longer set begins with the shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np
from PIL import Image

from ..sources.labelled_image import AnnotatedImage, LabelledBox

CLASS_NAMES = ("bar", "disc", "triangle")
DRAWN_SHAPES = (*CLASS_NAMES, "cross", "star")
"""All that `paint_shapes` can paint. `draw_images` draws those of CLASS_NAMES only."""
IMAGE_SIDES = (160, 192, 224, 256)
"""Widths and heights to choose from, in pixels."""

# A few of everything that real datasets contain: images without objects, both file formats, photographs of cameras that
# were held upright
EMPTY_SHARE = 0.15
PNG_SHARE = 0.2
ROTATED_SHARE = 0.25
"""Of the JPEG files: stored rotated, with the EXIF tag that rotates them back."""

_MIN_OBJECT_SIDE = 16
_MAX_OBJECTS = 4
_MAX_COVERED_SHARE = 0.1
_HUES = {"bar": (45, 85), "disc": (-12, 22), "triangle": (100, 150), "cross": (45, 85), "star": (100, 150)}
"""OpenCV hue, 0 to 179 for the full circle: greens; reds to oranges; blues to violets.

Crosses have the hues of bars, stars those of triangles: only their outlines tell them apart."""

_ORIENTATION_TAG = 0x0112
_TURNS_TO_STORE = {6: 1, 3: 2, 8: 3}
"""EXIF orientation -> anticlockwise quarter turns from the upright to the stored image (np.rot90)."""


@dataclass(frozen=True)
class Shape:
    """One object: its class and the pixels it covers."""

    class_name: str
    mask: np.ndarray
    """(H, W) bool."""

    @property
    def box(self) -> LabelledBox:
        """The box around the mask, corners inclusive."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return self.class_name, int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def draw_images(
    folder: Path, count: int, *, seed: int, image_sides: Sequence[int] = IMAGE_SIDES
) -> list[AnnotatedImage]:
    """Draw `count` images into `folder` and return them with their boxes.

    Args:
        folder: created if it does not exist.
        seed: the same seed gives the same pixels and boxes.
        image_sides: widths and heights in pixels to choose from, each at least 48.

    Returns:
        One entry per image, with boxes in pixels of the upright image. About 15 % have none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw_image(folder, number, seed, image_sides) for number in range(count)]


def _draw_image(folder: Path, number: int, seed: int, image_sides: Sequence[int]) -> AnnotatedImage:
    # changing the order of the draws below changes every image: tests and benchmarks compare with earlier ones
    rng = np.random.default_rng([seed, number])
    height, width = (int(side) for side in rng.choice(np.asarray(image_sides), size=2))
    canvas = draw_background(rng, height, width)
    count = 0 if rng.random() < EMPTY_SHARE else int(rng.integers(1, _MAX_OBJECTS + 1))
    shapes = paint_shapes(rng, canvas, [""] * count)
    canvas += rng.normal(0, rng.uniform(2, 7), canvas.shape)
    path = _save_image(rng, folder / f"image_{number:04d}", np.clip(canvas, 0, 255).astype(np.uint8))
    return AnnotatedImage(path, tuple(shape.box for shape in shapes))


def paint_shapes(rng: np.random.Generator, canvas: np.ndarray, class_names: Sequence[str]) -> list[Shape]:
    """Paint a shape for each class name at a random place, with hardly any overlap, and return those that found room.

    Args:
        canvas: (H, W, 3) float64 BGR, painted on.
        class_names: of `DRAWN_SHAPES`; '' is one of CLASS_NAMES at random.
    """
    height, width = canvas.shape[:2]
    shapes: list[Shape] = []
    for class_name in class_names:
        for _ in range(20):  # attempts: a small image may have no room for another shape
            shape = _random_shape(rng, height, width, class_name or str(rng.choice(CLASS_NAMES)))
            if shape and all(_covered_share(shape.box, other.box) <= _MAX_COVERED_SHARE for other in shapes):
                shapes.append(shape)
                break
    for shape in shapes:
        _paint_shape(rng, canvas, shape)
    return shapes


def draw_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return (H, W, 3) float64 BGR: soft blotches of dull colour, shading from one side, lines and specks."""
    base = rng.uniform(70, 185) + rng.uniform(-18, 18, size=3)
    canvas: np.ndarray = np.broadcast_to(base, (height, width, 3)).copy()
    for cells, strength in ((3, 22.0), (9, 11.0), (32, 6.0)):  # octaves of noise, finer and weaker
        coarse = rng.normal(0, strength, size=(cells, cells, 3))
        coarse = 0.6 * coarse.mean(axis=2, keepdims=True) + 0.4 * coarse  # mostly grey: objects are colourful
        canvas += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    shade = 1 + rng.uniform(0, 0.5) * (np.cos(angle) * columns + np.sin(angle) * rows)
    canvas *= shade[..., None]
    # lines, rings and specks in the colours of the objects, so that colour alone does not identify them
    for _ in range(int(rng.integers(2, 7))):
        colour = _random_colour(rng, str(rng.choice(CLASS_NAMES)))
        start, end = _random_point(rng, height, width), _random_point(rng, height, width)
        kind = rng.integers(3)
        if kind == 0:
            cv2.line(canvas, start, end, colour, int(rng.integers(1, 3)), cv2.LINE_AA)
        elif kind == 1:
            cv2.circle(canvas, start, int(rng.integers(6, 30)), colour, 1, cv2.LINE_AA)
        else:
            cv2.circle(canvas, start, int(rng.integers(1, 4)), colour, -1, cv2.LINE_AA)
    return canvas


def _random_shape(rng: np.random.Generator, height: int, width: int, class_name: str) -> Shape | None:
    """Return a shape between 16 pixels and half the shorter side of the image, or None if its area is too small."""
    largest = max(min(height, width) / 2, _MIN_OBJECT_SIDE + 1)
    side = float(np.exp(rng.uniform(np.log(_MIN_OBJECT_SIDE), np.log(largest))))  # as many small as large ones
    margin = side / 2 + 1
    centre = np.array([rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)])
    points = centre + _outline(rng, class_name) * side / 2
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return Shape(class_name, mask.astype(bool)) if int(mask.sum()) >= 40 else None


def _outline(rng: np.random.Generator, class_name: str) -> np.ndarray:
    """Return (P, 2) corner points in the unit circle."""
    turn = rng.uniform(0, 2 * np.pi)
    if class_name == "disc":
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        squeeze = rng.uniform(0.8, 1.0)
        points = np.stack([np.cos(angles), squeeze * np.sin(angles)], axis=1)
    elif class_name == "triangle":
        angles = np.array([0, 2, 4]) * np.pi / 3 + rng.uniform(-0.25, 0.25, size=3)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif class_name == "star":
        angles = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2, 0.42, 1.0)  # tips and notches by turns
        points = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif class_name == "cross":
        long, short = 0.95, 0.3
        quarter = np.array([[long, short], [short, short], [short, long]])
        turned_by_quarters = [quarter @ np.array([[c, s], [-s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        points = np.concatenate(turned_by_quarters)
    else:
        half = np.arctan(rng.uniform(0.3, 0.6))
        angles = np.array([half, np.pi - half, np.pi + half, -half])
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned: np.ndarray = points @ rotation
    return turned


def _paint_shape(rng: np.random.Generator, canvas: np.ndarray, shape: Shape) -> None:
    """Fill a shape with the colour of its class, shaded along one direction."""
    colour = np.array(_random_colour(rng, shape.class_name))
    height, width = shape.mask.shape
    rows, columns = np.mgrid[0:height, 0:width]
    _, x1, y1, x2, y2 = shape.box
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (columns - (x1 + x2) / 2) / (x2 - x1 + 1)
    along = along + np.sin(angle) * (rows - (y1 + y2) / 2) / (y2 - y1 + 1)
    shaded = colour * (1 + 0.35 * along[..., None])
    opacity = rng.uniform(0.75, 1.0)
    canvas[shape.mask] = (opacity * shaded + (1 - opacity) * canvas)[shape.mask]


def _random_colour(rng: np.random.Generator, class_name: str) -> tuple[float, float, float]:
    """Return BGR in [0, 255], in the hues of the class."""
    low, high = _HUES[class_name]
    hsv = [int(rng.integers(low, high)) % 180, int(rng.integers(110, 230)), int(rng.integers(110, 235))]
    blue, green, red = cv2.cvtColor(np.array([[hsv]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return float(blue), float(green), float(red)


def _random_point(rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
    return int(rng.integers(0, width)), int(rng.integers(0, height))


def _covered_share(box: LabelledBox, other: LabelledBox) -> float:
    """Return the intersection over the area of the smaller box."""
    width = min(box[3], other[3]) - max(box[1], other[1]) + 1
    height = min(box[4], other[4]) - max(box[2], other[2]) + 1
    smaller = min((b[3] - b[1] + 1) * (b[4] - b[2] + 1) for b in (box, other))
    return max(width, 0) * max(height, 0) / smaller


def _save_image(rng: np.random.Generator, stem: Path, pixels_bgr: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 as PNG, as JPEG, or as JPEG stored rotated under an EXIF tag."""
    as_png, rotated = rng.random() < PNG_SHARE, rng.random() < ROTATED_SHARE
    orientation = int(rng.choice(list(_TURNS_TO_STORE))) if rotated and not as_png else 1
    path = stem.with_suffix(".png" if as_png else ".jpg")
    upright = pixels_bgr[..., ::-1]
    if as_png:
        Image.fromarray(np.ascontiguousarray(upright)).save(str(path))
        return path
    stored = np.rot90(upright, _TURNS_TO_STORE.get(orientation, 0))
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(str(path), quality=92, exif=exif.tobytes())
    return path
