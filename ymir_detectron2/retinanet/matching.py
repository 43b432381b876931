"""Which anchor stands for which object.

Letters: A anchors of all levels, G ground-truth boxes of one picture.
"""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor

IGNORED = -1
BACKGROUND = 0
OBJECT = 1

_MOST_PAIRS = 1 << 25
"""Of boxes and anchors that are compared at once: 200 boxes at full size. Ten thousand would take 40 GB."""


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return (G, A) intersection over union of (G, 4) and (A, 4) boxes x1 y1 x2 y2; 0 where they do not touch."""
    sides = torch.min(boxes[:, None, 2:], others[:, 2:]) - torch.max(boxes[:, None, :2], others[:, :2])  # (G, A, 2)
    intersection = sides.clamp_(min=0).prod(dim=2)
    union = _area(boxes)[:, None] + _area(others) - intersection
    return torch.where(intersection > 0, intersection / union, torch.zeros_like(intersection))


def match_anchors(
    anchors: Tensor, gt_boxes: Tensor, iou_thresholds: Sequence[float], iou_labels: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Give every anchor its best box and a label.

    Args:
        anchors: (A, 4) float, x1 y1 x2 y2 in pixels of the resized picture.
        gt_boxes: (G, 4), same convention. G may be 0: then every anchor gets the first label.
        iou_thresholds: T rising numbers that cut IoU into T + 1 ranges; each includes its lower end.
        iou_labels: T + 1 of IGNORED, BACKGROUND, OBJECT.

    Returns:
        (A,) int64 index of the best box, and (A,) int8 label.

    Source: RetinaNet, arXiv 1708.02002, sec. 4. As in detectron2, the best anchors of a box, with ties, become
        OBJECT even below the thresholds, and keep the box that they themselves overlap most.
    """
    if len(gt_boxes) == 0:
        matches = torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
        return matches, torch.full_like(matches, iou_labels[0], dtype=torch.int8)
    best = torch.full((len(anchors),), -1.0, dtype=anchors.dtype, device=anchors.device)
    matches = torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
    is_best_of_a_box = torch.zeros_like(matches, dtype=torch.bool)
    size = max(1, _MOST_PAIRS // len(anchors))
    for first in range(0, len(gt_boxes), size):
        iou = pairwise_iou(gt_boxes[first : first + size], anchors)
        best_here, matches_here = iou.max(dim=0)
        matches = torch.where(best_here > best, matches_here + first, matches)
        best = torch.max(best, best_here)
        is_best_of_a_box |= (iou == iou.max(dim=1, keepdim=True).values).any(dim=0)
    labels = torch.full_like(matches, iou_labels[0], dtype=torch.int8)
    for threshold, label in zip(iou_thresholds, iou_labels[1:]):
        labels[best >= threshold] = label
    labels[is_best_of_a_box] = OBJECT
    return matches, labels


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
