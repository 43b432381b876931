"""Boxes as offsets from anchors, and back; clipping and scaling of boxes.

Boxes are x1 y1 x2 y2 in pixels with x2, y2 exclusive. Offsets are dx, dy in sizes of the anchor and the logarithms
dw, dh of the size ratio, each multiplied by its weight. Source: R-CNN, arXiv 1311.2524, appendix C.
"""

from __future__ import annotations

import math
from typing import Sequence

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""Largest growth of an anchor, as in Detectron: keeps exp() finite early in training."""


def encode_boxes(anchors: Tensor, boxes: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the (n, 4) offsets that lead from anchors (n, 4) to boxes (n, 4)."""
    anchor_x, anchor_y, anchor_w, anchor_h = _centre_form(anchors)
    box_x, box_y, box_w, box_h = _centre_form(boxes)
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
    """Return the (n, 4) float32 boxes that lie (n, 4) offsets away from their anchors (n, 4)."""
    deltas = deltas.float()  # half precision is too coarse for pixels
    anchor_x, anchor_y, anchor_w, anchor_h = _centre_form(anchors)
    wx, wy, ww, wh = weights
    x = deltas[:, 0] / wx * anchor_w + anchor_x
    y = deltas[:, 1] / wy * anchor_h + anchor_y
    w = torch.exp(torch.clamp(deltas[:, 2] / ww, max=MAX_LOG_SCALE)) * anchor_w
    h = torch.exp(torch.clamp(deltas[:, 3] / wh, max=MAX_LOG_SCALE)) * anchor_h
    return torch.stack((x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h), dim=-1)


def clip_boxes(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Move the corners of (n, 4) boxes into a picture of (height, width)."""
    height, width = image_hw
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    return torch.stack((x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1)


def scale_boxes(boxes: Tensor, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Take (n, 4) boxes from the resized picture to the original one, as detectron2's postprocessing does.

    Returns:
        (n, 4) boxes, scaled and clipped, and (n,) bool: which of them have an area. Drop the others, and with
        them their scores and classes.
    """
    ratio_y, ratio_x = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    scaled = clip_boxes(boxes * boxes.new_tensor([ratio_x, ratio_y, ratio_x, ratio_y]), to_hw)
    return scaled, (scaled[:, 2] > scaled[:, 0]) & (scaled[:, 3] > scaled[:, 1])


def _centre_form(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x1 y1 x2 y2 -> centre x, centre y, width, height, each (n,)."""
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    return boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height, width, height
