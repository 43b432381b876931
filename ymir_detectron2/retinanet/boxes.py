"""Boxes in torch: overlap (IoU), matching with anchors, offsets from anchors, clipping.

Boxes are x1 y1 x2 y2 in pixels of the resized image, x2 and y2 exclusive. `box_geometry.py` has the overlap in NumPy.
Letters: A anchors of all levels, G ground-truth boxes of one image, n boxes or anchors in pairs.
"""

from __future__ import annotations

import math
from typing import Sequence

import torch
from torch import Tensor

IGNORED = -1
BACKGROUND = 0
OBJECT = 1

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""Largest growth of an anchor, as in Detectron: keeps exp() finite early in training."""

_MAX_PAIRS = 1 << 25
"""Of boxes and anchors that are compared at once: 200 boxes at full size. Ten thousand would take 40 GB."""


def box_areas(boxes: Tensor) -> Tensor:
    """Return (...) width times height of (..., 4) boxes; negative where one pair of corners is swapped."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection_and_union(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of intersection and union, (...) each, of (..., 4) boxes that broadcast; with gradient."""
    width = torch.min(boxes[..., 2], others[..., 2]) - torch.max(boxes[..., 0], others[..., 0])
    height = torch.min(boxes[..., 3], others[..., 3]) - torch.max(boxes[..., 1], others[..., 1])
    # not clamp(min=0): where boxes only touch, its gradient would still move them
    apart = (width <= 0) | (height <= 0)
    intersection = torch.where(apart, torch.zeros_like(width), width * height)
    return intersection, box_areas(boxes) + box_areas(others) - intersection


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return (G, A) intersection over union of (G, 4) and (A, 4) boxes; 0 where they do not touch."""
    intersection, union = intersection_and_union(boxes[:, None], others[None])  # (G, 1, 4), (1, A, 4) -> (G, A)
    return torch.where(intersection > 0, intersection / union, torch.zeros_like(intersection))  # 0 / 0 is no overlap


def match_anchors(
    anchors: Tensor, gt_boxes: Tensor, iou_thresholds: Sequence[float], iou_labels: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Match every anchor with the box that it overlaps most, and label it.

    Args:
        anchors: (A, 4) float.
        gt_boxes: (G, 4), in the same frame. G may be 0: then every anchor gets the first label.
        iou_thresholds: T rising numbers that cut IoU into T + 1 ranges; each includes its lower end.
        iou_labels: T + 1 of IGNORED, BACKGROUND, OBJECT.

    Returns:
        (A,) int64 index of the best box, and (A,) int8 label.

    Source: RetinaNet, arXiv 1708.02002, sec. 4. As in detectron2, the best anchors of a box, with ties, become
        OBJECT even below the thresholds, and keep the box that they themselves overlap most.
    """
    matches = torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
    labels = torch.full_like(matches, iou_labels[0], dtype=torch.int8)
    if len(gt_boxes) == 0:
        return matches, labels
    best = torch.full((len(anchors),), -1.0, dtype=anchors.dtype, device=anchors.device)
    is_best_of_a_box = torch.zeros_like(matches, dtype=torch.bool)
    size = max(1, _MAX_PAIRS // len(anchors))
    for first in range(0, len(gt_boxes), size):
        iou = pairwise_iou(gt_boxes[first : first + size], anchors)  # (size, A)
        best_of_chunk, matches_of_chunk = iou.max(dim=0)
        # strictly better: of equal boxes the first stays, as if all were compared at once
        matches = torch.where(best_of_chunk > best, matches_of_chunk + first, matches)
        best = torch.max(best, best_of_chunk)
        is_best_of_a_box |= (iou == iou.max(dim=1, keepdim=True).values).any(dim=0)
    for threshold, label in zip(iou_thresholds, iou_labels[1:]):
        labels[best >= threshold] = label
    labels[is_best_of_a_box] = OBJECT
    return matches, labels


def encode_boxes(anchors: Tensor, boxes: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the (n, 4) offsets that lead from anchors (n, 4) to boxes (n, 4).

    Offsets are dx, dy in sizes of the anchor and the logarithms dw, dh of the size ratio, each times its weight.
    Source: R-CNN, arXiv 1311.2524, appendix C.
    """
    anchor_x, anchor_y, anchor_w, anchor_h = _to_cxcywh(anchors)
    box_x, box_y, box_w, box_h = _to_cxcywh(boxes)
    wx, wy, ww, wh = weights
    return torch.stack(
        (
            wx * (box_x - anchor_x) / anchor_w,
            wy * (box_y - anchor_y) / anchor_h,
            ww * torch.log(box_w / anchor_w),
            wh * torch.log(box_h / anchor_h),
        ),
        dim=1,
    )


def decode_boxes(anchors: Tensor, deltas: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the (n, 4) float32 boxes that are (n, 4) offsets away from their anchors (n, 4): undo `encode_boxes`."""
    deltas = deltas.float()  # half precision is too coarse for pixels
    anchor_x, anchor_y, anchor_w, anchor_h = _to_cxcywh(anchors)
    wx, wy, ww, wh = weights
    x = deltas[:, 0] / wx * anchor_w + anchor_x
    y = deltas[:, 1] / wy * anchor_h + anchor_y
    w = torch.exp(torch.clamp(deltas[:, 2] / ww, max=MAX_LOG_SCALE)) * anchor_w
    h = torch.exp(torch.clamp(deltas[:, 3] / wh, max=MAX_LOG_SCALE)) * anchor_h
    return torch.stack((x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h), dim=-1)


def clip_boxes(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Move the corners of (n, 4) boxes into an image of (height, width)."""
    height, width = image_hw
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    return torch.stack((x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1)


def _to_cxcywh(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x1 y1 x2 y2 -> centre x, centre y, width, height, each (n,)."""
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    return boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height, width, height
