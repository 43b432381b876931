"""A set as a network is shown it with tiles: its images as a whole, then their tiles, each with the boxes in it.

What becomes of a box at the edge of a tile, and how many tiles without objects are drawn, is decided here.

Letters: N images, M boxes of all images together, G boxes of one image, V views of one image, the whole image first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..box_geometry import box_areas
from ..dataset.coco_json import IGNORED, CocoDataset
from ..tile_windows import Tiling

MIN_SHARE = 0.5
"""Share of its area that a tile must hold of an object. What is cut to less has an IoU below 0.5 with the object: as a
detection it would be a mistake, and `inference.tiling.merge_tiles` would not take it for the object. To teach it as
background would be wrong as well, since it is a piece of an object; so its anchors are left out of the losses.
Others drop boxes below a share, which teaches background: 0.1 in SAHI; detectron2's crops keep every piece; DOTA's
tools mark those below 0.7 as difficult."""
_LEAST_PIECE_PX = 1.0
"""A thinner piece of a cut object shows nothing of it, and no anchor could be compared with it."""
EMPTY_PER_FULL = 1.0
"""Tiles without objects per tile with objects in a pass through the set, at most; other ones in each pass. Of a scan
most tiles are empty, and a batch of them teaches next to nothing; with none, their textures would stay unknown."""


class _Views(NamedTuple):
    """Columns of some views of one image."""

    windows: np.ndarray
    """(V, 4) int32 x, y, width, height."""
    counts: np.ndarray
    """(V,) boxes in each."""
    boxes_xyxy: np.ndarray
    """(sum of counts, 4) float32 in pixels of its view, view after view."""
    classes: np.ndarray
    has_objects: np.ndarray
    """(V,) bool: not all of its boxes are ignored."""

    def take(self, views: slice) -> _Views:
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        first, last, _ = views.indices(len(self.counts))
        rows = slice(ends[first], ends[last])
        return _Views(
            self.windows[views], self.counts[views], self.boxes_xyxy[rows], self.classes[rows], self.has_objects[views]
        )


def with_tiles(dataset: CocoDataset, tiling: Tiling, is_small: np.ndarray) -> CocoDataset:
    """Return the N images of a set, then their tiles, as the images of a set; as it is where nothing is cut.

    Args:
        is_small: (M,) bool: the whole image shows the network too little of a box. There it is ignored, if a tile has
            it; objects that no tile has are always taught.
    """
    if not tiling.size or not (dataset.image_hw > tiling.size).any():
        return dataset
    views = [_views(dataset, index, tiling, is_small) for index in range(len(dataset))]
    wholes, tiles = [each.take(slice(0, 1)) for each in views], [each.take(slice(1, None)) for each in views]
    columns = _Views(*(np.concatenate([getattr(each, name) for each in (*wholes, *tiles)]) for name in _Views._fields))
    tile_paths = (path for path, each in zip(dataset.image_paths, tiles) for _ in range(len(each.counts)))
    return CocoDataset(
        class_names=dataset.class_names,
        image_paths=(*dataset.image_paths, *tile_paths),
        image_hw=columns.windows[:, [3, 2]],
        box_starts=np.concatenate([[0], np.cumsum(columns.counts)]),
        boxes_xyxy=columns.boxes_xyxy,
        classes=columns.classes,
        windows=columns.windows,
        draws=_draws(columns.has_objects, len(dataset)),
    )


def _views(dataset: CocoDataset, index: int, tiling: Tiling, is_small: np.ndarray) -> _Views:
    height, width = map(int, dataset.image_hw[index])
    windows = np.array(tiling.windows((height, width)), dtype=np.int32)  # (V, 4)
    boxes, classes = dataset.objects(index)
    offsets = np.tile(windows[:, :2], 2)[:, None].astype(np.float32)  # (V, 1, 4)
    limits = np.tile(windows[:, 2:], 2)[:, None].astype(np.float32)
    pieces = np.clip(boxes[None] - offsets, np.float32(0), limits)  # (V, G, 4) in pixels of the view
    is_held = box_areas(pieces) >= MIN_SHARE * box_areas(boxes)
    is_seen = is_held | (pieces[..., 2:] - pieces[..., :2] >= _LEAST_PIECE_PX).all(axis=2)
    is_taught = is_held.copy()
    is_taught[0] &= ~(is_small[dataset.box_starts[index] : dataset.box_starts[index + 1]] & is_held[1:].any(axis=0))
    return _Views(
        windows, is_seen.sum(axis=1), pieces[is_seen], np.where(is_taught, classes, IGNORED)[is_seen],
        is_taught.any(axis=1),
    )  # fmt: skip


def _draws(has_objects: np.ndarray, num_images: int) -> np.ndarray:
    """Return (number of views,) how often a pass draws each: tiles without objects in proportion to those with some."""
    draws = np.ones(len(has_objects))
    of_tiles = has_objects[num_images:]
    num_full, num_empty = int(of_tiles.sum()), int((~of_tiles).sum())
    draws[num_images:][~of_tiles] = min(1.0, EMPTY_PER_FULL * num_full / max(num_empty, 1))
    return draws
