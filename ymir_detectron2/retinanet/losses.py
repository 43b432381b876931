"""Classification and box losses, all summed and in float32; the caller divides.

Letters: n anchors, K classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-7
"""Keeps a division by an area or a distance of zero finite; detectron2's value."""


def sigmoid_focal_loss(
    logits: Tensor, targets: Tensor, alpha: float, gamma: float, class_weights: Tensor | None = None
) -> Tensor:
    """Sum the focal loss of (n, K) logits.

    Args:
        logits: any float type.
        targets: (n, K), 1 where the anchor shows the class, else 0.
        alpha: weight of positive targets, 1 - alpha of negative ones; below 0: no weights.
        gamma: how strongly easy examples are discounted; 0 is plain cross entropy.
        class_weights: (K,) how much a positive target of each class counts; None: 1.

    Source: arXiv 1708.02002, eq. 5.
    """
    logits, targets = logits.float(), targets.float()
    probabilities = torch.sigmoid(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = probabilities * targets + (1 - probabilities) * (1 - targets)
    loss = cross_entropy * ((1 - right) ** gamma)
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    if class_weights is not None:
        loss = (1 + targets * (class_weights - 1)) * loss
    return loss.sum()


def smooth_l1_loss(found: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """Sum |found - wanted|, rounded off below `beta` (arXiv 1504.08083, eq. 3); beta 0 is plain L1."""
    distance = torch.abs(found.float() - wanted.float())
    if beta < 1e-5:  # dividing by such a beta would turn the gradient of the unused branch into NaN
        return distance.sum()
    return torch.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta).sum()


def giou_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Sum 1 - GIoU of (n, 4) boxes x1 y1 x2 y2 (arXiv 1902.09630)."""
    intersection, union = _intersection_and_union(found, wanted)
    width, height = _enclosing_sides(found, wanted)
    enclosing = width * height
    giou = intersection / (union + EPSILON) - (enclosing - union) / (enclosing + EPSILON)
    return (1 - giou).sum()


def diou_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Sum 1 - IoU + the squared distance of centres in diagonals of the enclosing box (arXiv 1911.08287, eq. 7)."""
    return _iou_and_distance(found, wanted)[1].sum()


def ciou_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Sum the loss of diou_loss + a term for the aspect ratio (arXiv 1911.08287, eq. 10)."""
    iou, loss = _iou_and_distance(found, wanted)
    difference = torch.atan(_aspect(wanted)) - torch.atan(_aspect(found))
    mismatch = (4 / math.pi**2) * difference**2
    with torch.no_grad():
        weight = mismatch / (1 - iou + mismatch + EPSILON)
    return (loss + weight * mismatch).sum()


def _iou_and_distance(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return (n,) IoU and (n,) DIoU loss."""
    intersection, union = _intersection_and_union(found, wanted)
    iou = intersection / (union + EPSILON)
    width, height = _enclosing_sides(found, wanted)
    offset = (found[:, 2:] + found[:, :2]) / 2 - (wanted[:, 2:] + wanted[:, :2]) / 2
    return iou, 1 - iou + (offset**2).sum(dim=1) / (width**2 + height**2 + EPSILON)


def _intersection_and_union(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    sides = torch.min(found[:, 2:], wanted[:, 2:]) - torch.max(found[:, :2], wanted[:, :2])
    apart = (sides <= 0).any(dim=1)
    intersection = torch.where(apart, torch.zeros_like(sides[:, 0]), sides[:, 0] * sides[:, 1])
    return intersection, _area(found) + _area(wanted) - intersection


def _enclosing_sides(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    width, height = (torch.max(found[:, 2:], wanted[:, 2:]) - torch.min(found[:, :2], wanted[:, :2])).unbind(dim=1)
    return width, height


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _aspect(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
