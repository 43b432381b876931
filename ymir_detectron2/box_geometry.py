"""Areas and overlaps of boxes in NumPy: the one definition of IoU for inference, mining and evaluation.

Boxes are x1 y1 x2 y2 in pixels, x2 and y2 exclusive. Letters: n and m boxes of the two sets that are compared.
`retinanet/boxes.py` has the same in torch, for anchors on the device of the network.
"""

from __future__ import annotations

import numpy as np

_PAIRS_AT_ONCE = 1 << 16
"""Of a table of overlaps. Working in what the processor's cache holds makes 10,000 boxes ten times as fast."""


def as_boxes(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return boxes as (n, 4) float64; an empty list becomes (0, 4)."""
    return np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)


def box_areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return (...) width times height of (..., 4) boxes in square pixels; 0 where the corners are swapped."""
    sides = np.clip(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0.0, None)
    areas: np.ndarray = sides[..., 0] * sides[..., 1]
    return areas


def pairwise_intersection(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Return the (n, m) areas that every box of one set shares with every box of the other, in square pixels.

    All pairs are in memory several times over: for small sets.

    Args:
        a_xyxy: (n, 4) floats, whose precision is kept. n may be 0.
        b_xyxy: (m, 4), same convention and frame. m may be 0.
    """
    top_left = np.maximum(a_xyxy[:, None, :2], b_xyxy[:, :2])  # (n, m, 2)
    bottom_right = np.minimum(a_xyxy[:, None, 2:], b_xyxy[:, 2:])
    return box_areas(np.concatenate([top_left, bottom_right], axis=2))


def pairwise_iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray, *, union_eps: float = 0.0) -> np.ndarray:
    """Return the intersection over union of every box of one set with every box of the other.

    Args:
        a_xyxy: (n, 4) x1 y1 x2 y2. n may be 0.
        b_xyxy: (m, 4), same convention and frame. m may be 0.
        union_eps: square pixels added to every union, as some published code does.

    Returns:
        (n, m) float64 in [0, 1]. A box without area, or with its corners swapped, overlaps nothing.
    """
    a, b = as_boxes(a_xyxy), as_boxes(b_xyxy)
    a_areas, b_areas = box_areas(a), box_areas(b)
    iou = np.zeros((len(a), len(b)))
    rows_at_once = max(1, _PAIRS_AT_ONCE // max(1, len(b)))
    for first in range(0, len(a), rows_at_once):
        some = a[first : first + rows_at_once, None]
        widths = np.minimum(some[..., 2], b[:, 2]) - np.maximum(some[..., 0], b[:, 0])  # (rows, m)
        heights = np.minimum(some[..., 3], b[:, 3]) - np.maximum(some[..., 1], b[:, 1])
        # few pairs touch in a crowded image, and only these are divided: no union of theirs is 0
        rows, columns = np.nonzero((widths > 0) & (heights > 0))
        intersection = widths[rows, columns] * heights[rows, columns]
        union = a_areas[first + rows] + b_areas[columns] - intersection
        iou[first + rows, columns] = intersection / (union + union_eps)
    return iou
