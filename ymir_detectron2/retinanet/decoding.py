"""From dense predictions to the boxes of each picture.

Letters: N pictures, L levels, HWA anchors of a level, K classes, n boxes kept.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, NamedTuple, Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from .box_coding import clip_boxes, decode_boxes, scale_boxes

LOGIT_MARGIN = 0.1
"""How far below the threshold a logit is still looked at; far more than a float32 sigmoid can round."""


class DenseOutputs(NamedTuple):
    """What the network says about every anchor, finest level first."""

    logits: list[Tensor]
    """L tensors (N, HWA, K); independent sigmoids."""
    deltas: list[Tensor]
    """L tensors (N, HWA, 4); see box_coding."""
    anchors: list[Tensor]
    """L tensors (HWA, 4) float32: x1 y1 x2 y2 in pixels of the batch."""


class DecodedBoxes(NamedTuple):
    """Boxes of one picture, best score first."""

    boxes_xyxy: Tensor
    """(n, 4) float32, x2 and y2 exclusive."""
    scores: Tensor
    """(n,) float32 in [0, 1]."""
    classes: Tensor
    """(n,) int64 in [0, K)."""
    class_probs: Tensor
    """(n, K) float32: what the anchor of this box says about each class."""


class DecodingRules(NamedTuple):
    """Thresholds of one pass."""

    score_threshold: float
    """Only scores above it count."""
    nms_threshold: float
    """Of two boxes of one class with a larger IoU the weaker goes."""
    max_candidates: int
    """Best candidates of each level that are decoded at all."""
    max_detections: int
    """Boxes of one picture, at most."""


def rules_of(cfg: Mapping[str, Any]) -> DecodingRules:
    """Those of a RetinaNet's configuration."""
    names = ("MODEL.RETINANET.SCORE_THRESH_TEST", "MODEL.RETINANET.NMS_THRESH_TEST",
             "MODEL.RETINANET.TOPK_CANDIDATES_TEST", "TEST.DETECTIONS_PER_IMAGE")  # fmt: skip
    return DecodingRules(*(cfg[name] for name in names))


class _Candidates(NamedTuple):
    boxes: Tensor
    scores: Tensor
    classes: Tensor
    probs: Tensor


@torch.no_grad()
def decode_batch(
    dense: DenseOutputs, image_hws: Sequence[tuple[int, int]], rules: DecodingRules, weights: Sequence[float]
) -> list[DecodedBoxes]:
    """Decode every picture of a batch.

    Args:
        dense: predictions for N pictures.
        image_hws: N (height, width) without the padding; boxes are clipped to them.
        rules: thresholds.
        weights: MODEL.RETINANET.BBOX_REG_WEIGHTS.
    """
    levels = [_level_candidates(*level, rules, weights) for level in zip(*dense)]
    return [
        _strongest(_Candidates(*(torch.cat(part) for part in zip(*of_picture))), image_hw, rules)
        for of_picture, image_hw in zip(zip(*levels), image_hws)
    ]


def scale_detections(decoded: DecodedBoxes, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> DecodedBoxes:
    """Take boxes from the resized picture to the original one; those that lose their area are dropped."""
    boxes, keep = scale_boxes(decoded.boxes_xyxy, from_hw, to_hw)
    return DecodedBoxes(boxes[keep], *(part[keep] for part in decoded[1:]))


def _level_candidates(
    logits: Tensor, deltas: Tensor, anchors: Tensor, rules: DecodingRules, weights: Sequence[float]
) -> list[_Candidates]:
    """Keep the best scores above the threshold of one level, for each picture: (N, HWA, K), (N, HWA, 4), (HWA, 4).

    The device is asked for a number once per level, not once per picture: each question makes a GPU wait.
    """
    likely = torch.nonzero(logits > _lowest_logit(rules.score_threshold))  # (m, 3): picture, anchor, class
    scores = logits[tuple(likely.unbind(dim=1))].float().sigmoid()
    above = scores > rules.score_threshold
    scores, likely = scores[above], likely[above]
    counts = torch.bincount(likely[:, 0], minlength=len(logits)).tolist()
    found = []
    for index, (scores_here, likely_here) in enumerate(zip(scores.split(counts), likely.split(counts))):
        best, order = scores_here.topk(min(len(scores_here), rules.max_candidates))
        _, anchor_index, classes = likely_here[order].unbind(dim=1)
        boxes = decode_boxes(anchors[anchor_index], deltas[index, anchor_index], weights)
        found.append(_Candidates(boxes, best, classes, logits[index, anchor_index].float().sigmoid()))
    return found


def _lowest_logit(score_threshold: float) -> float:
    """Spare the sigmoid of the millions of anchors that cannot pass."""
    if score_threshold <= 0:
        return -math.inf
    if score_threshold >= 1:
        return math.inf
    return math.log(score_threshold / (1 - score_threshold)) - LOGIT_MARGIN


def _strongest(found: _Candidates, image_hw: tuple[int, int], rules: DecodingRules) -> DecodedBoxes:
    keep = batched_nms(found.boxes, found.scores, found.classes, rules.nms_threshold)[: rules.max_detections]
    return DecodedBoxes(clip_boxes(found.boxes[keep], image_hw), *(part[keep] for part in found[1:]))
