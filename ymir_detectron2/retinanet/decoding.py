"""Dense outputs of the network, and their decoding into the boxes of each image: threshold, top k, offsets, NMS.

Letters: N images, L levels, H and W cells of a level, A anchors per cell, HWA anchors of a level, K classes,
C channels, h and w cells of a level that an image covers, n boxes kept.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, NamedTuple, Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from .boxes import clip_boxes, decode_boxes

LOGIT_MARGIN = 0.1
"""How far below the threshold a logit still gets its sigmoid; far more than a float32 sigmoid can round."""


class DenseOutputs(NamedTuple):
    """The predictions of the network for every anchor, finest level first."""

    logits: list[Tensor]
    """L tensors (N, HWA, K); independent sigmoids."""
    deltas: list[Tensor]
    """L tensors (N, HWA, 4); offsets from the anchors, see `boxes.encode_boxes`."""
    anchors: list[Tensor]
    """L tensors (HWA, 4) float32: x1 y1 x2 y2 in pixels of the batch."""


class DecodedBoxes(NamedTuple):
    """Boxes of one image, best score first."""

    boxes_xyxy: Tensor
    """(n, 4) float32, x2 and y2 exclusive."""
    scores: Tensor
    """(n,) float32 in [0, 1]."""
    classes: Tensor
    """(n,) int64 in [0, K)."""
    class_probs: Tensor
    """(n, K) float32: probability of each class at the anchor of this box."""


class PostprocessConfig(NamedTuple):
    """Thresholds and limits of decoding."""

    score_threshold: float
    """Only scores above it count."""
    nms_threshold: float
    """IoU above which, of two boxes of one class, the one with the lower score is suppressed."""
    max_candidates: int
    """Candidates of each level, at most, that are decoded: those with the best scores."""
    max_detections: int
    """Boxes of one image, at most."""

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any]) -> PostprocessConfig:
        """Read the keys of MODEL.RETINANET and TEST."""
        return cls(
            cfg["MODEL.RETINANET.SCORE_THRESH_TEST"],
            cfg["MODEL.RETINANET.NMS_THRESH_TEST"],
            cfg["MODEL.RETINANET.TOPK_CANDIDATES_TEST"],
            cfg["TEST.DETECTIONS_PER_IMAGE"],
        )


@torch.no_grad()
def decode_batch(
    dense: DenseOutputs, image_hws: Sequence[tuple[int, int]], postprocess: PostprocessConfig, weights: Sequence[float]
) -> list[DecodedBoxes]:
    """Decode every image of a batch, as detectron2's RetinaNet does.

    1. Of each level, keep the `max_candidates` best scores above the threshold.
    2. Turn their offsets into boxes.
    3. Over all levels, suppress overlapping boxes of one class.
    4. Keep the `max_detections` best, clipped to the image.

    Args:
        dense: predictions for N images.
        image_hws: N (height, width) without the padding.
        postprocess: thresholds.
        weights: MODEL.RETINANET.BBOX_REG_WEIGHTS.
    """
    levels = [_level_candidates(*level, postprocess, weights) for level in zip(*dense)]
    decoded = []
    for candidates_of_image, image_hw in zip(zip(*levels), image_hws):
        all_levels = DecodedBoxes(*(torch.cat(field) for field in zip(*candidates_of_image)))
        keep = batched_nms(*all_levels[:3], postprocess.nms_threshold)[: postprocess.max_detections]  # best first
        kept = DecodedBoxes(*(field[keep] for field in all_levels))
        # clipped after NMS, as in detectron2: clipping first would change the overlaps
        decoded.append(kept._replace(boxes_xyxy=clip_boxes(kept.boxes_xyxy, image_hw)))
    return decoded


class CroppedDenseOutputs:
    """The dense outputs of one image of a batch, without the padding. Nothing is computed before it is asked for.

    Implements `detections.ImageDenseOutputs`.
    """

    def __init__(
        self, levels: Sequence[Tensor], logits: Sequence[Tensor], strides: Sequence[int], index: int,
        image_hw: tuple[int, int],
    ) -> None:  # fmt: skip
        """
        Args:
            levels: pyramid features, finest first, (N, C, H, W) each.
            logits: (N, HWA, K) each.
            strides: pixels per cell of each level.
            index: which image of the N.
            image_hw: its height and width in pixels, without the padding of the batch.
        """
        height, width = image_hw
        self._levels = [level[index] for level in levels]  # (C, H, W)
        self._logits = [level[index] for level in logits]  # (HWA, K)
        # rounded up: a cell that the image covers in part counts
        self._covered_hw = [(-(-height // stride), -(-width // stride)) for stride in strides]

    @property
    def score_maps(self) -> list[Tensor]:
        """Per level (K, h, w) float32 in [0, 1]: the largest probability over the anchors of a cell."""
        maps = []
        for level, logits, (h, w) in zip(self._levels, self._logits, self._covered_hw):
            H, W = level.shape[-2:]
            best = logits.view(H, W, -1, logits.shape[-1]).amax(dim=2)  # (HWA, K) -> (H, W, A, K) -> (H, W, K)
            maps.append(best[:h, :w].permute(2, 0, 1).float().sigmoid())
        return maps

    @property
    def features(self) -> list[Tensor]:
        """Per level (C, h, w): the input of the heads."""
        return [level[:, :h, :w] for level, (h, w) in zip(self._levels, self._covered_hw)]


def _level_candidates(
    logits: Tensor, deltas: Tensor, anchors: Tensor, postprocess: PostprocessConfig, weights: Sequence[float]
) -> list[DecodedBoxes]:
    """Decode the best scores of one level for each image: (N, HWA, K), (N, HWA, 4), (HWA, 4) -> N lists, unclipped.

    The device is asked for a number once per level, not once per image: each question makes a GPU wait.
    """
    likely = torch.nonzero(logits > _min_logit(postprocess.score_threshold))  # (m, 3): image, anchor, class
    scores = logits[tuple(likely.unbind(dim=1))].float().sigmoid()
    above = scores > postprocess.score_threshold
    scores, likely = scores[above], likely[above]
    counts = torch.bincount(likely[:, 0], minlength=len(logits)).tolist()  # nonzero() sorts by image
    candidates = []
    for index, (scores_here, likely_here) in enumerate(zip(scores.split(counts), likely.split(counts))):
        best, order = scores_here.topk(min(len(scores_here), postprocess.max_candidates))
        _, anchor_index, classes = likely_here[order].unbind(dim=1)
        boxes = decode_boxes(anchors[anchor_index], deltas[index, anchor_index], weights)
        candidates.append(DecodedBoxes(boxes, best, classes, logits[index, anchor_index].float().sigmoid()))
    return candidates


def _min_logit(score_threshold: float) -> float:
    """The logit of a threshold, less a margin: spares the sigmoid of the millions of anchors that cannot pass."""
    if score_threshold <= 0:
        return -math.inf
    if score_threshold >= 1:
        return math.inf
    return math.log(score_threshold / (1 - score_threshold)) - LOGIT_MARGIN
