"""`tile_size: auto`: the side of tiles, chosen by the training boxes.

Letters: N images, M boxes of all images together. The size of a box is the square root of its area, as of an anchor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..retinanet.anchor_fit import resized_wh
from ..tile_windows import LEAST_SIDE, Tiling

SMALL_SHARE = 0.1
"""Of the training boxes; fewer that are too small are no reason to pay for tiles."""
MOST_TILES = 32
"""Of an image, on average over the set: each is a forward pass of every evaluation, mining and inference."""
MOST_ENLARGED = 2
"""How many times its size a tile is shown at, at most: beyond, there is only more of the same blur."""
_WORTHWHILE = 0.5  # of the wanted size: boxes that tiles show smaller than that would still be missed
_STEP = 32  # sides are multiples of it; it divides the strides of most pyramids


class InputSize(NamedTuple):
    """How large a network is shown an image or a tile."""

    short_edge: int
    """Pixels to which the shorter side is resized; 0: images keep their size."""
    max_edge: int
    """Pixels that the longer side may have."""
    wanted_px: float
    """Size, in pixels as the network is shown them, from which on a box is detected well."""


class TileChoice(NamedTuple):
    """What was chosen, and why."""

    size: int
    """Side of a tile in pixels of the image; 0: no tiles."""
    reason: str
    """For the log."""


def choose_tile_size(
    boxes_xyxy: np.ndarray, hw_of_boxes: np.ndarray, image_hw: np.ndarray, network: InputSize
) -> TileChoice:
    """Choose the largest tiles that show all but the smallest tenth of the boxes large enough.

    Args:
        boxes_xyxy: (M, 4) in pixels of their images.
        hw_of_boxes: (M, 2) height and width of the image of each box.
        image_hw: (N, 2) height and width of each image.
    """
    if not len(boxes_xyxy):
        return TileChoice(0, "there are no training boxes to choose it by")
    own_px = _small_size((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).astype(np.float64))
    whole_px = _small_size(resized_wh(boxes_xyxy, hw_of_boxes, network.short_edge, network.max_edge))
    found = f"a tenth of the training boxes is below {whole_px:.1f} px at the size of the network"
    if whole_px >= network.wanted_px:
        return TileChoice(0, f"{found}, and {network.wanted_px:.1f} px are enough")
    if whole_px >= own_px:
        return TileChoice(0, f"{found}, but no image is made smaller for it; raise image_size, which costs less")
    edge = min(network.short_edge, network.max_edge)
    size = _side(edge * own_px / network.wanted_px, edge, image_hw)
    if size >= image_hw.max():
        return TileChoice(0, f"{found}, but tiles that show them large enough would be as large as the images")
    tile_px = own_px * edge / size
    if tile_px < _WORTHWHILE * network.wanted_px:
        return TileChoice(0, f"{found}, and in {MOST_TILES} tiles still below {tile_px:.1f} px; raise image_size")
    return TileChoice(size, f"{found}, below {tile_px:.1f} px in such tiles; {network.wanted_px:.1f} px are wanted")


def _small_size(boxes_wh: np.ndarray) -> float:
    return float(np.quantile(np.sqrt(boxes_wh.prod(axis=1)), SMALL_SHARE))


def _side(wanted: float, edge: int, image_hw: np.ndarray) -> int:
    """Return the largest multiple of the step up to the wanted side, but within what tiles may cost and be enlarged."""
    least = max(-(-edge // MOST_ENLARGED), LEAST_SIDE)
    side = max(int(min(wanted, float(image_hw.max())) / _STEP), -(-least // _STEP)) * _STEP
    sizes, counts = np.unique(image_hw, axis=0, return_counts=True)
    while _mean_tiles(side, sizes, counts) > MOST_TILES:
        side += _STEP
    return side


def _mean_tiles(side: int, sizes_hw: np.ndarray, counts: np.ndarray) -> float:
    tiling = Tiling.of_size(side)
    return float(np.average([len(tiling.windows((int(h), int(w)))) - 1 for h, w in sizes_hw], weights=counts))
