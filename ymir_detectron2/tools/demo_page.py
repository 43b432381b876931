"""The demo's result for people: detections.png, a grid of images with boxes, and index.html with the table."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from ..contract.infer_result import ResultBox
from ..dataset.image_reading import read_image_bgr
from ..errors import StorageError
from ..sources.labelled_image import AnnotatedImage

Row = Tuple[str, str]
"""What was measured, and its value with the unit."""

COLUMNS = 5
TILE_SIDE = 340
"""Pixels; images are scaled to fit."""
MIN_SCORE_SHOWN = 0.3
"""Detections below are not drawn: their labels would hide the others."""

_GAP = 6
_BACKGROUND = (32, 32, 32)
_WHITE = (255, 255, 255)
_CLASS_COLOURS = ((60, 220, 60), (40, 120, 255), (255, 120, 60), (0, 220, 255), (255, 80, 255), (200, 200, 0))
"""BGR, by class id; repeated when there are more classes."""

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
<p>Validation images. In colour: what the detector found, with class and score
(from {min_score}). Thin white: what was drawn.</p>
<img src="detections.png" alt="Validation images with predicted and true boxes">
</html>
"""


def write_page(file: Path, rows: Sequence[Row]) -> None:
    """Write the page with the table; it shows detections.png from its own folder."""
    cells = [f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows]
    file.write_text(_PAGE.format(rows="\n".join(cells), min_score=MIN_SCORE_SHOWN), encoding="utf-8")


def write_contact_sheet(
    file: Path,
    images: Sequence[AnnotatedImage],
    detections: Sequence[Sequence[ResultBox]],
    class_names: Sequence[str],
) -> None:
    """Draw images in a grid: detections in the colour of their class, ground truth as thin white lines.

    Args:
        file: the PNG.
        images: at least one.
        detections: those of each image, in pixels of the upright image.
        class_names: in the order of their ids, which decide the colours.

    Raises:
        StorageError: if the file cannot be written.
    """
    # with cv2, and not by evaluation/worst_images.py: that one plots the errors of matched detections with matplotlib,
    # this one all detections in the colours of their classes, whether they match or not
    tiles = [_draw_tile(image, boxes, class_names) for image, boxes in zip(images, detections)]
    blank = np.full_like(tiles[0], _BACKGROUND[0])
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    sheet = np.ascontiguousarray(np.vstack(rows)[..., ::-1])  # BGR -> RGB
    try:
        Image.fromarray(sheet).save(str(file))
    except OSError as exc:
        raise StorageError.from_os_error(file, exc) from exc


def _draw_tile(image: AnnotatedImage, detections: Sequence[ResultBox], class_names: Sequence[str]) -> np.ndarray:
    """Return (TILE_SIDE + gap, TILE_SIDE + gap, 3) uint8 BGR with the image in the middle."""
    pixels = read_image_bgr(image.path)
    scale = TILE_SIDE / max(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    # scaled before drawing, so that lines and letters are equally thick in all tiles
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    for _, x1, y1, x2, y2 in image.boxes:
        _draw_rectangle(pixels, (x1, y1, x2 + 1, y2 + 1), scale, _WHITE, 1)  # inclusive -> exclusive
    # by ascending score, so that the best ones are on top
    for box in sorted((box for box in detections if box.score >= MIN_SCORE_SHOWN), key=lambda box: box.score):
        index = class_names.index(box.class_name) if box.class_name in class_names else -1
        colour = _CLASS_COLOURS[index % len(_CLASS_COLOURS)]
        _draw_rectangle(pixels, (box.x, box.y, box.x + box.w, box.y + box.h), scale, colour, 2)
        _draw_label(pixels, f"{box.class_name} {box.score:.2f}", round(box.x * scale), round(box.y * scale), colour)
    side = TILE_SIDE + _GAP
    tile = np.full((side, side, 3), _BACKGROUND[0], np.uint8)
    top, left = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    tile[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return tile


def _draw_rectangle(
    image: np.ndarray, edges: tuple[int, int, int, int], scale: float, colour: tuple[int, int, int], width: int
) -> None:
    """Draw x1 y1 x2 y2 (x2, y2 exclusive) of the unscaled image."""
    x1, y1, x2, y2 = (round(edge * scale) for edge in edges)
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, width)  # cv2 draws both corners


def _draw_label(image: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    """Write above the box, or inside it where the image ends."""
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    left = max(min(x, image.shape[1] - width - 4), 0)
    bottom = y if y >= height + baseline + 4 else y + height + baseline + 4
    cv2.rectangle(image, (left, bottom - height - baseline - 4), (left + width + 4, bottom), colour, -1)
    place = (left + 2, bottom - baseline - 1)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
