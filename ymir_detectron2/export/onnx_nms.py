"""Non-maximum suppression as the ONNX operator of that name, which torch's exporter does not make by itself.

Letters: C candidates, K classes, n boxes kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from ..retinanet.decoding import DecodingRules


def select_boxes(boxes: Tensor, scores: Tensor, classes: Tensor, num_classes: int, rules: DecodingRules) -> Tensor:
    """The rows of the boxes that stay, best score first, at most `rules.max_detections`.

    Args:
        boxes: (C, 4); scores: (C,); classes: (C,) int64.
    """
    # the operator keeps classes apart by rows of scores; a box has a score in the row of its class alone
    is_class = classes[None, :] == torch.arange(num_classes)[:, None]  # (K, C)
    table = torch.where(is_class, scores[None, :], torch.zeros(()))
    picked = _NonMaxSuppression.apply(
        boxes[None], table[None], rules.max_detections, rules.nms_threshold, rules.score_threshold
    )
    rows = picked[:, 2]
    order = scores[rows].sort(descending=True)[1]
    return rows[order[: rules.max_detections]]


class _NonMaxSuppression(torch.autograd.Function):
    """(1, C, 4), (1, K, C) -> (n, 3) int64: batch, class, row; best first within a class."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, boxes: Tensor, table: Tensor, most: int, iou_threshold: float, score_threshold: float
    ) -> Tensor:
        """The same in torch, for the pass in which the graph is traced."""
        classes, rows = torch.nonzero(table[0] > score_threshold).unbind(dim=1)
        kept = batched_nms(boxes[0, rows], table[0, classes, rows], classes, iou_threshold)
        return torch.stack([torch.zeros_like(kept), classes[kept], rows[kept]], dim=1)

    @staticmethod
    def symbolic(
        g: Any, boxes: Any, table: Any, most: int, iou_threshold: float, score_threshold: float
    ) -> Any:
        """What stands in the graph instead."""
        numbers = [torch.tensor([most]), torch.tensor([iou_threshold]), torch.tensor([score_threshold])]
        constants = [g.op("Constant", value_t=number) for number in numbers]
        return g.op("NonMaxSuppression", boxes, table, *constants)
