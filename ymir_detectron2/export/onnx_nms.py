"""Non-maximum suppression (NMS) as the ONNX operator NonMaxSuppression, which torch's exporter does not emit by itself.

Letters: C candidates, K classes, n boxes kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from ..retinanet.decoding import PostprocessConfig


def select_boxes(
    boxes: Tensor, scores: Tensor, classes: Tensor, num_classes: int, postprocess: PostprocessConfig
) -> Tensor:
    """Return the rows of the boxes to keep, (n,) int64, best score first, at most `max_detections`.

    Args:
        boxes: (C, 4); scores: (C,); classes: (C,) int64.
    """
    # the operator runs per class on a table of scores; a box has its score in the row of its class, 0 elsewhere
    is_class = classes[None, :] == torch.arange(num_classes)[:, None]  # (K, C)
    table = torch.where(is_class, scores[None, :], torch.zeros(()))
    kept = _NonMaxSuppression.apply(
        boxes[None], table[None], postprocess.max_detections, postprocess.nms_threshold, postprocess.score_threshold
    )
    rows = kept[:, 2]
    order = scores[rows].sort(descending=True)[1]  # the operator returns class after class, each up to the limit
    return rows[order[: postprocess.max_detections]]


class _NonMaxSuppression(torch.autograd.Function):
    """(1, C, 4), (1, K, C) -> (n, 3) int64: batch, class, row; best first within a class."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, boxes: Tensor, table: Tensor, max_per_class: int, iou_threshold: float, score_threshold: float
    ) -> Tensor:
        """Compute the same in torch, for the pass in which the graph is traced."""
        classes, rows = torch.nonzero(table[0] > score_threshold).unbind(dim=1)
        kept = batched_nms(boxes[0, rows], table[0, classes, rows], classes, iou_threshold)
        return torch.stack([torch.zeros_like(kept), classes[kept], rows[kept]], dim=1)

    @staticmethod
    def symbolic(
        g: Any, boxes: Any, table: Any, max_per_class: int, iou_threshold: float, score_threshold: float
    ) -> Any:
        """Emit the operator, whose parameters are tensors, in place of `forward`."""
        numbers = [torch.tensor([max_per_class]), torch.tensor([iou_threshold]), torch.tensor([score_threshold])]
        constants = [g.op("Constant", value_t=number) for number in numbers]
        return g.op("NonMaxSuppression", boxes, table, *constants)
