"""Pictures with the objects that were missed and the boxes that are wrong, as the bytes of a PNG."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.transforms import Bbox
from PIL import Image

from ..dataset.image_reading import read_image_bgr
from ..errors import ImageError
from .lettering import drawable_names, drawable_text
from .matching import JudgedPicture
from .sheet import WIDTH_PIXELS, new_sheet, say_nothing_to_show
from .worst import BadPicture

BILINEAR = getattr(Image, "Resampling", Image).BILINEAR  # Pillow before 9.1 has no Resampling
_COLUMNS = 2
_TILE_SIDE = 388  # pixels, the longer one
_GAP = 8
_CAPTION = 24
_LEGEND = 40
_MISSED, _FALSE, _RIGHT = "#ffd400", "#ff3b6b", "#2ee6a6"
_KINDS = ((_MISSED, "labelled, but missed"), (_FALSE, "found, but wrong"), (_RIGHT, "found and right"))
_MOST_LABELS = 12  # per picture and kind; more would hide what they name
_LETTER_HEIGHT = 14  # of labels, pixels with their outline
_OUTLINE: list[AbstractPathEffect] = [withStroke(linewidth=3, foreground="black")]


def draw_worst(bad: Sequence[BadPicture], pictures: Sequence[JudgedPicture], class_names: Sequence[str]) -> bytes:
    """Two columns of pictures, worst first. One that cannot be read any more leaves its place grey.

    Args:
        bad: from `worst.worst_pictures`.
        pictures: the sequence that it was made from.
    """
    names = drawable_names(class_names)
    tiles = [_scaled(pictures[faults.number].path) for faults in bad]
    rows = [tiles[start : start + _COLUMNS] for start in range(0, len(tiles), _COLUMNS)]
    heights = [_CAPTION + max(tile.shape[0] for tile, _ in row) + _GAP for row in rows] or [100]
    height = _LEGEND + sum(heights)
    with new_sheet(height, layout=None) as sheet:
        _draw_legend(sheet.figure)
        if not bad:
            axes = _axes_at(sheet.figure, 0, _LEGEND, WIDTH_PIXELS, 100)
            say_nothing_to_show(axes, "no validation picture with a fault")
        for place, (faults, (tile, scale)) in enumerate(zip(bad, tiles)):
            row, column = divmod(place, _COLUMNS)
            x = _GAP + column * (_TILE_SIDE + _GAP)
            y = _LEGEND + sum(heights[:row]) + _CAPTION
            axes = _axes_at(sheet.figure, x, y, tile.shape[1], tile.shape[0])
            _draw_tile(axes, faults, pictures[faults.number], names, tile, scale)
    return sheet.png


def _axes_at(figure: Figure, x: int, y: int, width: int, height: int) -> Axes:
    """Bare axes over a rectangle in pixels from the upper left corner."""
    whole = round(figure.get_figheight() * figure.dpi)
    axes = figure.add_axes((x / WIDTH_PIXELS, 1 - (y + height) / whole, width / WIDTH_PIXELS, height / whole))
    axes.set_axis_off()
    return axes


def _draw_legend(figure: Figure) -> None:
    lines = [Line2D([], [], color=colour, linewidth=4, label=label) for colour, label in _KINDS]
    figure.legend(
        handles=lines, loc="upper center", ncols=len(lines), labelcolor="white", facecolor="#444444", borderaxespad=0.4
    )


def _scaled(path: str) -> tuple[np.ndarray, float]:
    """(h, w, 3) RGB that fits a tile, and tile pixels per pixel of the picture."""
    try:
        image = Image.fromarray(np.ascontiguousarray(read_image_bgr(Path(path))[:, :, ::-1]))
    except ImageError:
        return np.full((_TILE_SIDE // 2, _TILE_SIDE, 3), 160, dtype=np.uint8), 0.0
    scale = _TILE_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return np.asarray(image.resize((width, height), BILINEAR)), scale


def _draw_tile(
    axes: Axes, faults: BadPicture, picture: JudgedPicture, names: Sequence[str], tile: np.ndarray, scale: float
) -> None:
    """A caption, the picture, and its boxes: thin where right, with class and score where wrong."""
    axes.imshow(tile, extent=(0, tile.shape[1], tile.shape[0], 0), aspect="auto", interpolation="nearest")
    _draw_caption(axes, f"{len(faults.missed)} missed, {len(faults.false)} wrong", PurePath(picture.path).name)
    if scale == 0:
        axes.text(tile.shape[1] / 2, tile.shape[0] / 2, "cannot be read any more", ha="center")
        return
    _draw_boxes(axes, picture.found_boxes[faults.right] * scale, _RIGHT, 1)
    missed_boxes = picture.truth_boxes[faults.missed] * scale
    missed_names = [names[class_id] for class_id in picture.truth_classes[faults.missed]]
    taken: list[Bbox] = []
    largest_first = np.argsort(-(missed_boxes[:, 2:] - missed_boxes[:, :2]).prod(axis=1), kind="stable")
    _draw_wrong(axes, missed_boxes[largest_first], [missed_names[row] for row in largest_first], _MISSED, tile, taken)
    false_names = [f"{names[picture.found_classes[row]]} {picture.found_scores[row]:.2f}" for row in faults.false]
    _draw_wrong(axes, picture.found_boxes[faults.false] * scale, false_names, _FALSE, tile, taken)


def _draw_caption(axes: Axes, counts: str, name: str) -> None:
    """With as much of the name as has room in a column."""
    caption = axes.text(0, -6, counts, fontsize=10)
    for longest in range(26, 0, -1):
        caption.set_text(f"{counts}   {drawable_text(name, longest)}")
        if caption.get_window_extent().width <= _TILE_SIDE:
            break


def _draw_wrong(
    axes: Axes, boxes: np.ndarray, labels: Sequence[str], colour: str, tile: np.ndarray, taken: list[Bbox]
) -> None:
    """Boxes in pixels of the tile, the first of them with labels: missed ones above, wrong ones below their box.

    Args:
        taken: places of the labels in this tile, which this adds to. One that would cover another is left out.
    """
    _draw_boxes(axes, boxes, colour, 2.2)
    below = colour == _FALSE
    for (x1, y1, _, y2), label in zip(boxes[:_MOST_LABELS], labels):
        y = min(y2 + 1, tile.shape[0] - _LETTER_HEIGHT) if below else max(y1 - 1, _LETTER_HEIGHT)
        text = axes.text(0, y, label, fontsize=8.5, color=colour, va="top" if below else "bottom", fontweight="bold")
        text.set_path_effects(_OUTLINE)
        width = text.get_window_extent().width + 2  # of the outline; tile and sheet have the same pixels
        text.set_x(max(1, min(x1, tile.shape[1] - width)))
        place = text.get_window_extent()
        if place.count_overlaps(taken):
            text.remove()
        else:
            taken.append(place)


def _draw_boxes(axes: Axes, boxes: np.ndarray, colour: str, linewidth: float) -> None:
    """All at once: ten thousand patches of their own would take a quarter of a minute."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (M, 4 corners, 2)
    axes.add_collection(PolyCollection(list(corners), facecolors="none", edgecolors=colour, linewidths=linewidth))
