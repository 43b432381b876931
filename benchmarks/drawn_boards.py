"""Drawn circuit boards with six kinds of defects, black on white, to train a start for photographs of real boards.

The classes are those of DeepPCB (github.com/tangsanli5201/DeepPCB), of which no image is used: an experiment on it can
start from a network that knows a little, as that of a factory does, and has seen nothing of its pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Tuple, Union

import numpy as np
from PIL import Image, ImageDraw

from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox

CLASS_NAMES = ("open", "short", "mousebite", "spur", "copper", "pin_hole")
"""A trace that is cut, two that are joined, a notch, a thorn, copper where none belongs, a hole in copper."""
SIDE = 320
"""Width and height of a board in pixels."""
DEFECTIVE_SHARE = 0.75
_SCALE = 2  # traces are drawn at twice the size and shrunk: Pillow does not smooth edges
_CANVAS = SIDE * _SCALE
_DIRECTIONS = np.array([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)])
_BOX = getattr(Image, "Resampling", Image).BOX  # Pillow before 9.1 has no Resampling
_COPPER, _BARE = 0, 255
_ATTEMPTS = 12
"""For each defect: many places do not fit."""
_MARGIN = 4
"""Pixels around a defect in which there is no other one."""

Corners = Tuple[float, float, float, float]
"""x1 y1 x2 y2."""
Point = Union[Tuple[float, float], np.ndarray]
"""x y."""


def draw_boards(folder: Path, count: int, *, seed: int) -> list[AnnotatedImage]:
    """Draw boards into `folder`, three of four with two to eight defects.

    Args:
        folder: created if it does not exist.
        seed: the same seed gives the same boards; a longer set begins with the shorter one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    boards = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        defects = _Defects(rng, _draw_layout(rng))
        defects.add(int(rng.integers(2, 9)) if rng.random() < DEFECTIVE_SHARE else 0)
        path = folder / f"drawn_{number:04d}.jpg"
        defects.image.save(str(path), quality=88)
        boards.append(AnnotatedImage(path, tuple(map(_to_pixels, defects.found))))
    return boards


class _Defect(NamedTuple):
    class_name: str
    corners: Corners


def _to_pixels(defect: _Defect) -> LabelledBox:
    x1, y1, x2, y2 = (min(max(round(value), 0), SIDE - 1) for value in defect.corners)
    return defect.class_name, x1, y1, x2, y2


def _draw_layout(rng: np.random.Generator) -> np.ndarray:
    """Return (SIDE, SIDE) bool, True where copper is: traces, pads and holes, or their negative."""
    image = Image.new("L", (_CANVAS, _CANVAS), _BARE)
    style = rng.random()
    if style < 0.35:
        image = _with_parallel_traces(rng, image, jog=0 if style >= 0.2 else 40 if style < 0.1 else -40)
    else:
        _draw_bent_traces(rng, ImageDraw.Draw(image))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 10)):
        centre, radius = rng.integers(0, SIDE, 2) * _SCALE, rng.integers(6, 22) * _SCALE
        _disc(pen, centre, radius, _COPPER)
        if rng.random() < 0.6:
            _disc(pen, centre, radius * rng.uniform(0.3, 0.6), _BARE)
    if rng.random() < 0.25:
        image = Image.eval(image, lambda level: 255 - level)
    is_copper: np.ndarray = np.asarray(image.resize((SIDE, SIDE), _BOX)) < 128
    return is_copper


def _with_parallel_traces(rng: np.random.Generator, image: Image.Image, jog: int) -> Image.Image:
    """Return the image with traces from one side to the other, each with steps aside of `jog` pixels."""
    pen = ImageDraw.Draw(image)
    width, gap = rng.integers(10, 26) * _SCALE, rng.integers(10, 26) * _SCALE
    left = -rng.integers(0, 40) * _SCALE
    while left < _CANVAS:
        points, y = [(left, 0)], 0
        while y < _CANVAS:
            y += rng.integers(60, 200) * _SCALE
            points.append((points[-1][0], y))
            if jog:
                y += abs(jog) * _SCALE
                points.append((points[-1][0] + jog * _SCALE, y))
        pen.line(points, fill=_COPPER, width=int(width), joint="curve")
        left += width + gap
    return image.rotate(90) if rng.random() < 0.5 else image


def _draw_bent_traces(rng: np.random.Generator, pen: ImageDraw.ImageDraw) -> None:
    """Draw traces that turn by 45 degrees, most of them between two pads with holes."""
    for _ in range(rng.integers(4, 11)):
        width = int(rng.integers(6, 24)) * _SCALE
        place = rng.integers(0, SIDE, 2).astype(float) * _SCALE
        direction = rng.integers(0, 8)
        points = [tuple(place)]
        for _ in range(rng.integers(2, 5)):
            direction = (direction + rng.choice([-1, 0, 1])) % 8
            place = place + _DIRECTIONS[direction] * rng.integers(30, 120) * _SCALE
            points.append(tuple(place))
        pen.line(points, fill=_COPPER, width=width, joint="curve")
        if rng.random() < 0.7:
            radius = width * 0.9 + 6 * _SCALE
            for end in (points[0], points[-1]):
                _disc(pen, end, radius, _COPPER)
                _disc(pen, end, radius * 0.4, _BARE)


def _disc(pen: ImageDraw.ImageDraw, centre: Point, radius: float, level: int) -> None:
    x, y = centre
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=level)


class _Defects:
    """Paints defects on a layout where each kind can be."""

    def __init__(self, rng: np.random.Generator, is_copper: np.ndarray) -> None:
        levels = np.where(is_copper, _COPPER, _BARE).astype(np.uint8)
        self.image = Image.fromarray(levels)
        self.found: list[_Defect] = []
        self._rng, self._is_copper, self._pen = rng, is_copper, ImageDraw.Draw(self.image)
        self._gradient_yx = np.gradient(levels.astype(float))
        self._edges_yx = np.argwhere(np.hypot(*self._gradient_yx) > 60)
        self._copper_yx, self._bare_yx = np.argwhere(is_copper), np.argwhere(~is_copper)

    def add(self, count: int) -> None:
        """Add up to `count` defects of random kinds."""
        for _ in range(count * _ATTEMPTS):
            if len(self.found) >= count:
                break
            class_name, radius = CLASS_NAMES[self._rng.integers(6)], self._rng.uniform(2, 5)
            if class_name in ("copper", "pin_hole"):
                corners = self._paint_inside(class_name == "pin_hole", radius)
            elif class_name in ("mousebite", "spur"):
                corners = self._paint_at_edge(class_name == "spur", radius)
            else:
                corners = self._paint_across(class_name == "short")
            if corners is not None:
                x1, y1, x2, y2 = corners
                around = self._rng.uniform(2, 4.5)  # as loose as people draw boxes
                self.found.append(_Defect(class_name, (x1 - around, y1 - around, x2 + around, y2 + around)))

    def _paint_inside(self, in_copper: bool, radius: float) -> Corners | None:
        """Paint a hole in copper, or copper on bare board, away from every edge."""
        places = self._copper_yx if in_copper else self._bare_yx
        if not len(places):
            return None
        y, x = places[self._rng.integers(len(places))]
        reach = int(radius + _MARGIN)
        window = self._is_copper[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        if not (window == in_copper).all() or not self._is_free((x, y), radius):
            return None
        stretch = self._rng.uniform(0.7, 1.6)
        return self._blob((x, y), radius, _BARE if in_copper else _COPPER, self._rng.uniform(0, np.pi), stretch)

    def _paint_at_edge(self, outwards: bool, radius: float) -> Corners | None:
        """Paint a thorn on an edge of copper, or a notch into it."""
        found = self._draw_edge()
        if found is None:
            return None
        edge, normal = found
        centre = edge + (1 if outwards else -1) * normal * radius * 0.6
        if not self._is_free(centre, radius):
            return None
        angle = np.arctan2(normal[1], normal[0])
        stretch = self._rng.uniform(1, 1.6)
        return self._blob(centre, radius, _COPPER if outwards else _BARE, angle, stretch)

    def _paint_across(self, joins: bool) -> Corners | None:
        """Paint a bridge from an edge to the next copper, or a cut from an edge through its trace."""
        found = self._draw_edge()
        if found is None:
            return None
        edge, normal = found
        direction = normal if joins else -normal
        length = self._distance_to(edge, direction, copper=joins)
        if length is None:
            return None
        start, end = edge - direction * 1.5, edge + direction * (length + 1.5)
        (x1, x2), (y1, y2) = sorted((start[0], end[0])), sorted((start[1], end[1]))
        if not self._is_free_box((x1 - 5, y1 - 5, x2 + 5, y2 + 5)):
            return None
        return self._line(start, end, int(self._rng.integers(2, 6)), _COPPER if joins else _BARE)

    def _draw_edge(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (2,) a random point x y on an edge of copper, and (2,) the unit vector from copper to bare board."""
        if not len(self._edges_yx):
            return None
        y, x = self._edges_yx[self._rng.integers(len(self._edges_yx))]
        gradient = np.array([self._gradient_yx[1][y, x], self._gradient_yx[0][y, x]])
        return np.array([x, y]), gradient / np.hypot(*gradient)

    def _distance_to(self, start: np.ndarray, direction: np.ndarray, *, copper: bool) -> int | None:
        """Return after how many pixels, 5 to 33, a ray meets copper or leaves it; None if it does not."""
        for distance in range(4, 34):
            x, y = start + direction * distance
            if not (0 <= x < SIDE and 0 <= y < SIDE):
                return None
            if self._is_copper[int(y), int(x)] == copper and distance > 4:
                return distance
        return None

    def _is_free(self, centre: Point, radius: float) -> bool:
        (x, y), reach = centre, radius + _MARGIN
        return self._is_free_box((x - reach, y - reach, x + reach, y + reach))

    def _is_free_box(self, corners: Corners) -> bool:
        x1, y1, x2, y2 = corners
        inside = x1 > 2 and y1 > 2 and x2 < SIDE - 2 and y2 < SIDE - 2
        return inside and all(
            x2 < other[0] - _MARGIN or x1 > other[2] + _MARGIN or y2 < other[1] - _MARGIN or y1 > other[3] + _MARGIN
            for _, other in self.found
        )

    def _blob(self, centre: Point, radius: float, level: int, angle: float, stretch: float) -> Corners:
        """Paint an irregular spot, stretched along an angle; return its corners."""
        points = []
        for turn in np.linspace(0, 2 * np.pi, 9, endpoint=False):
            x, y = radius * self._rng.uniform(0.6, 1.1) * np.array([np.cos(turn) * stretch, np.sin(turn)])
            points.append((
                centre[0] + x * np.cos(angle) - y * np.sin(angle), centre[1] + x * np.sin(angle) + y * np.cos(angle),
            ))  # fmt: skip
        self._pen.polygon(points, fill=level)
        xs, ys = zip(*points)
        return min(xs), min(ys), max(xs), max(ys)

    def _line(self, start: np.ndarray, end: np.ndarray, width: int, level: int) -> Corners:
        """Paint a line that is bent in its middle; return its corners."""
        middle = ((start[0] + end[0]) / 2 + self._rng.normal(0, 2), (start[1] + end[1]) / 2 + self._rng.normal(0, 2))
        points = [tuple(start), middle, tuple(end)]
        self._pen.line(points, fill=level, width=width)
        xs, ys = zip(*points)
        half = width / 2
        return min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half
