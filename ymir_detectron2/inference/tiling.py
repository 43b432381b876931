"""Tiling for small objects in large images (sliced inference): the whole image and overlapping tiles of it, and their
detections merged into those of the image.

Letters: n boxes, H and W height and width of the image in pixels.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..box_geometry import pairwise_intersection
from ..detections import Detections, Detector, Pixels
from ..tile_windows import Tiling, Window

MERGE_IOU = 0.5
"""Of two boxes of one class from different tiles with a larger IoU the weaker is dropped: RetinaNet's NMS threshold."""
CUT_COVERED = 0.8
"""A box that its tile cuts is dropped as well when another box of its class covers this much of it."""
_CUT_WITHIN = 2.0  # pixels of the original image: how near to an inner edge of its tile a cut box ends


class Tile(NamedTuple):
    """One input of the network: the whole image or a window of it."""

    window: Window
    pixels: Pixels
    """The window, resized for the network."""


def cut_into_tiles(image_bgr: np.ndarray, tiling: Tiling, detector: Detector) -> Iterator[Tile]:
    """Yield the tiles of an upright (H, W, 3) image, resized for the network one after the other."""
    height, width = image_bgr.shape[:2]
    for window in tiling.windows((height, width)):
        x, y, w, h = window
        yield Tile(window, detector.load(image_bgr[y : y + h, x : x + w]))


def tile_to_image(detections: Detections, window: Window, pixels_hw: Sequence[int]) -> Detections:
    """Return the detections of a tile in pixels of its image.

    As in detectron2's postprocessing: scaled, clipped to the window, boxes that lose their area dropped.

    Args:
        pixels_hw: height and width of the tile as the network got it; further entries are ignored.
    """
    # float32, like the tensors of that postprocessing: the same digits
    ratio = np.array([window.width / pixels_hw[1], window.height / pixels_hw[0]] * 2, dtype=np.float32)
    limit = np.array([window.width, window.height] * 2, dtype=np.float32)
    boxes = np.clip(detections.boxes_xyxy * ratio, np.float32(0), limit)
    keep = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    return detections.take(keep, boxes_xyxy=boxes[keep] + np.array([window.x, window.y] * 2, dtype=np.float32))


def merge_tiles(
    detections: Sequence[Detections], windows: Sequence[Window], image_hw: tuple[int, int]
) -> Detections:
    """Return the detections of all tiles as those of the image, best score first, every object once.

    Args:
        detections: of each tile, in pixels of the image.
    """
    if len(detections) == 1:
        return detections[0]  # NMS has run in the network already
    merged = Detections.concatenate(detections)
    is_cut = np.concatenate([_is_cut(tile, window, image_hw) for tile, window in zip(detections, windows)])
    # stable: of equal scores the tile that comes first, whatever the sort
    order = np.argsort(-merged.scores, kind="stable")
    merged, is_cut = merged.take(order), is_cut[order]
    # before NMS: half of an object may have the better score, and would suppress the box around all of it
    merged = merged.take(_not_covered(merged, is_cut))
    return merged.take(_nms_per_class(merged))


def _is_cut(detections: Detections, window: Window, image_hw: tuple[int, int]) -> np.ndarray:
    """(n,) bool: the box ends at an edge of its window that is not an edge of the image."""
    x, y, w, h = window
    x1, y1, x2, y2 = detections.boxes_xyxy.T
    left, top = x > 0, y > 0
    right, bottom = x + w < image_hw[1], y + h < image_hw[0]
    touches: np.ndarray = (
        (left & (x1 - x < _CUT_WITHIN)) | (right & (x + w - x2 < _CUT_WITHIN))
        | (top & (y1 - y < _CUT_WITHIN)) | (bottom & (y + h - y2 < _CUT_WITHIN))
    )  # fmt: skip
    return touches


def _not_covered(detections: Detections, is_cut: np.ndarray) -> np.ndarray:
    """Which boxes are kept: all that are whole, and the cut ones that no whole box of their class covers."""
    whole = detections.take(np.flatnonzero(~is_cut))
    keep = ~is_cut
    # one cut box at a time: a scene may have a hundred thousand whole ones to compare it with
    for index in np.flatnonzero(is_cut):
        x1, y1, x2, y2 = detections.boxes_xyxy[index]
        same_class = whole.boxes_xyxy[whole.classes == detections.classes[index]]
        shared = pairwise_intersection(detections.boxes_xyxy[index][None], same_class)[0]
        keep[index] = not (shared >= CUT_COVERED * (x2 - x1) * (y2 - y1)).any()
    return np.flatnonzero(keep)


def _nms_per_class(detections: Detections) -> np.ndarray:
    """Which boxes non-maximum suppression keeps, per class, by torchvision: a scene has a hundred thousand boxes."""
    import torch  # here: a task checks its files before it imports torch, which takes seconds
    from torchvision.ops import nms

    boxes, scores = torch.from_numpy(detections.boxes_xyxy), torch.from_numpy(detections.scores)
    kept = [
        members[nms(boxes[members], scores[members], MERGE_IOU).numpy()]
        for members in (np.flatnonzero(detections.classes == class_id) for class_id in np.unique(detections.classes))
    ]
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.int64)
