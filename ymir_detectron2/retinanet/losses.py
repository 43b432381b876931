"""Losses of RetinaNet: focal loss for classes; smooth L1, GIoU, DIoU or CIoU for boxes. Summed, in float32.

The caller divides the sums (see `RetinaNet.update_normalizer`). Letters: n anchors or boxes in pairs, K classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .boxes import intersection_and_union

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
    logits, targets = logits.float(), targets.float()  # a sum over 10^5 anchors is beyond half precision
    probs = torch.sigmoid(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = probs * targets + (1 - probs) * (1 - targets)  # of the true answer, in the paper's notation
    loss = cross_entropy * ((1 - p_t) ** gamma)
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    if class_weights is not None:
        loss = (1 + targets * (class_weights - 1)) * loss
    return loss.sum()


def smooth_l1_loss(pred: Tensor, target: Tensor, beta: float) -> Tensor:
    """Sum |pred - target|, rounded off below `beta` (arXiv 1504.08083, eq. 3); beta 0 is plain L1."""
    distance = torch.abs(pred.float() - target.float())
    if beta < 1e-5:  # dividing by such a beta would turn the gradient of the unused branch into NaN
        return distance.sum()
    return torch.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta).sum()


def giou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Sum 1 - GIoU of (n, 4) boxes x1 y1 x2 y2 (arXiv 1902.09630)."""
    intersection, union = intersection_and_union(pred, target)
    width, height = _enclosing_sides(pred, target)
    enclosing = width * height
    # EPSILON in both denominators, as in fvcore, whose function detectron2 calls
    giou = intersection / (union + EPSILON) - (enclosing - union) / (enclosing + EPSILON)
    return (1 - giou).sum()


def diou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Sum 1 - IoU + the squared distance of centres in diagonals of the enclosing box (arXiv 1911.08287, eq. 7)."""
    return _iou_and_diou_loss(pred, target)[1].sum()


def ciou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Sum the loss of diou_loss + a term for the aspect ratio (arXiv 1911.08287, eq. 10)."""
    iou, loss = _iou_and_diou_loss(pred, target)
    difference = torch.atan(_aspect_ratios(target)) - torch.atan(_aspect_ratios(pred))
    mismatch = (4 / math.pi**2) * difference**2
    with torch.no_grad():  # alpha in the paper: a trade-off between the terms, not one to minimise
        weight = mismatch / (1 - iou + mismatch + EPSILON)
    return (loss + weight * mismatch).sum()


def _iou_and_diou_loss(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) IoU and (n,) DIoU loss."""
    intersection, union = intersection_and_union(pred, target)
    iou = intersection / (union + EPSILON)
    width, height = _enclosing_sides(pred, target)
    offset = (pred[:, 2:] + pred[:, :2]) / 2 - (target[:, 2:] + target[:, :2]) / 2  # (n, 2) between the centres
    return iou, 1 - iou + (offset**2).sum(dim=1) / (width**2 + height**2 + EPSILON)


def _enclosing_sides(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    width, height = (torch.max(pred[:, 2:], target[:, 2:]) - torch.min(pred[:, :2], target[:, :2])).unbind(dim=1)
    return width, height


def _aspect_ratios(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
