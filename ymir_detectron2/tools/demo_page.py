"""What the demo leaves to look at: detections.png, one sheet of pictures with boxes, and index.html with the table."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from ymir_detectron2.errors import StorageError
from ymir_detectron2.tools.task_folder import LabelledPicture

Row = Tuple[str, str]
"""What was measured, and its value with the unit."""

COLUMNS = 5
TILE_SIDE = 340
"""Pixels; pictures are scaled to fit."""
LEAST_SCORE_SHOWN = 0.3
"""Weaker boxes are left out of the pictures: their labels would hide the others."""

_GAP = 6
_BACKGROUND = (32, 32, 32)
_WHITE = (255, 255, 255)
_CLASS_COLOURS = ((60, 220, 60), (40, 120, 255), (255, 120, 60), (0, 220, 255), (255, 80, 255), (200, 200, 0))
"""BGR, by position of the class; repeated when there are more classes."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>YMIR detectron2 executor: demo</title>
<style>
body {{ font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 1750px; padding: 0 1em; }}
td {{ padding: .2em 2em .2em 0; border-bottom: 1px solid #ddd; }}
td + td {{ text-align: right; font-variant-numeric: tabular-nums; }}
img {{ max-width: 100%; margin-top: 1em; }}
</style>
<h1>Demo: train, mine, infer</h1>
<table>
{rows}
</table>
<p>Validation pictures. In colour: what the detector found, with class and score
(from {least_score}). Thin white: what was drawn.</p>
<img src="detections.png" alt="Validation pictures with predicted and true boxes">
</html>
"""


@dataclass(frozen=True)
class FoundBox:
    """One predicted box in pixels of the upright picture."""

    class_name: str
    score: float
    x: int
    y: int
    w: int
    h: int


def write_contact_sheet(
    file: Path,
    pictures: Sequence[LabelledPicture],
    found: Sequence[Sequence[FoundBox]],
    class_names: Sequence[str],
) -> None:
    """Draw pictures in a grid: predicted boxes in the colour of their class, true boxes as thin white lines.

    Raises:
        StorageError: if the file cannot be written.
    """
    tiles = [_draw_tile(picture, boxes, class_names) for picture, boxes in zip(pictures, found)]
    blank = np.full_like(tiles[0], _BACKGROUND[0])
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    sheet = np.ascontiguousarray(np.vstack(rows)[..., ::-1])
    try:
        Image.fromarray(sheet).save(str(file))
    except OSError as exc:
        raise StorageError.from_os_error(file, exc) from exc


def write_page(file: Path, rows: Sequence[Row]) -> None:
    """Write the page that shows the table and, from beside itself, detections.png."""
    cells = [f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows]
    file.write_text(_PAGE.format(rows="\n".join(cells), least_score=LEAST_SCORE_SHOWN), encoding="utf-8")


def _draw_tile(picture: LabelledPicture, found: Sequence[FoundBox], class_names: Sequence[str]) -> np.ndarray:
    """(TILE_SIDE + gap, TILE_SIDE + gap, 3) uint8 BGR, the picture in the middle."""
    image = _load_upright_bgr(picture.image)
    scale = TILE_SIDE / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    for _, x1, y1, x2, y2 in picture.boxes:
        _draw_rectangle(image, (x1, y1, x2 + 1, y2 + 1), scale, _WHITE, 1)
    weakest_first: list[FoundBox] = sorted(found, key=lambda box: box.score)
    for box in weakest_first:
        index = class_names.index(box.class_name) if box.class_name in class_names else -1
        colour = _CLASS_COLOURS[index % len(_CLASS_COLOURS)]
        _draw_rectangle(image, (box.x, box.y, box.x + box.w, box.y + box.h), scale, colour, 2)
        _draw_label(image, f"{box.class_name} {box.score:.2f}", round(box.x * scale), round(box.y * scale), colour)
    side = TILE_SIDE + _GAP
    tile = np.full((side, side, 3), _BACKGROUND[0], np.uint8)
    top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
    tile[top : top + image.shape[0], left : left + image.shape[1]] = image
    return tile


def _load_upright_bgr(image: Path) -> np.ndarray:
    with Image.open(str(image)) as picture:
        upright = ImageOps.exif_transpose(picture) or picture
        return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[..., ::-1])


def _draw_rectangle(
    image: np.ndarray, edges: tuple[int, int, int, int], scale: float, colour: tuple[int, int, int], width: int
) -> None:
    """Draw x1 y1 x2 y2 (x2, y2 exclusive) of the unscaled picture."""
    x1, y1, x2, y2 = (round(edge * scale) for edge in edges)
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, width)


def _draw_label(image: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    """Write above the box, or inside it where the picture ends."""
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    left = max(min(x, image.shape[1] - width - 4), 0)
    bottom = y if y >= height + baseline + 4 else y + height + baseline + 4
    cv2.rectangle(image, (left, bottom - height - baseline - 4), (left + width + 4, bottom), colour, -1)
    place = (left + 2, bottom - baseline - 1)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
