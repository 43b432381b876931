"""RetinaNet: pictures in, dense predictions, losses or boxes out.

Letters: N pictures of a batch, K classes, R anchors of all levels, G ground-truth boxes of one picture.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .anchors import AnchorGenerator
from .box_coding import decode_boxes, encode_boxes, scale_boxes
from .decoding import DecodedBoxes, DecodingRules, DenseOutputs, decode_batch, scale_detections
from .fpn import build_fpn
from .head import RetinaNetHead, permute_to_N_HWA_K
from .losses import ciou_loss, diou_loss, giou_loss, sigmoid_focal_loss, smooth_l1_loss
from .matching import BACKGROUND, IGNORED, match_anchors
from .supported import check_supported

__all__ = ["DecodedBoxes", "DenseOutputs", "RetinaNet", "build_retinanet", "scale_boxes", "scale_detections"]

NORMALIZER_START = 100.0
NORMALIZER_MOMENTUM = 0.9
"""The losses are divided by a running mean of positive anchors per step, which begins here; detectron2's numbers."""

_BOX_LOSSES = {"giou": giou_loss, "diou": diou_loss, "ciou": ciou_loss}


class RetinaNet(nn.Module):
    """The detector; every number comes from the configuration."""

    def __init__(self, cfg: Mapping[str, Any], num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.cfg = cfg
        self.backbone = build_fpn(cfg)
        self.in_features = _checked_features(cfg["MODEL.RETINANET.IN_FEATURES"], self.backbone.strides)
        self.strides = [self.backbone.strides[name] for name in self.in_features]
        self.anchor_generator = AnchorGenerator.from_config(cfg, self.strides)
        self.head = RetinaNetHead(cfg, num_classes, self.anchor_generator.num_anchors)
        self._pixel_statistics: dict[torch.device, tuple[Tensor, Tensor]] = {}
        self.loss_normalizer: float = NORMALIZER_START
        self.class_weights: Tensor | None = None
        """(K,) how much an object of each class counts in `loss_cls`; None: all alike."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.cls_score.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are in."""
        return self.head.cls_score.weight.dtype

    @property
    def memory_format(self) -> torch.memory_format:
        """The order of numbers in memory for which the weights are laid out."""
        is_last = self.head.cls_score.weight.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if is_last else torch.contiguous_format

    def preprocess(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Normalise and pad pictures to one batch on the model's device.

        Args:
            images: N tensors (3, H, W) uint8 on any device, channels in the order of INPUT.FORMAT.

        Returns:
            (N, 3, H', W') float32, zeros where a picture ends; and N (height, width) without the padding.
        """
        sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        height, width = (self._padded(max(sides)) for sides in zip(*sizes))
        mean, std = self._mean_and_std(self.device)
        batch = torch.zeros((len(images), 3, height, width), dtype=torch.float32, device=self.device)
        for slot, image, (h, w) in zip(batch, images, sizes):
            slot[:, :h, :w] = (image.to(self.device, non_blocking=True) - mean) / std
        return batch, sizes

    def forward(self, batch: Tensor) -> DenseOutputs:
        """Predict for a batch (N, 3, H', W') from `preprocess`."""
        return self.predict(self.features(batch))

    def features(self, batch: Tensor) -> list[Tensor]:
        """The pyramid levels that the heads look at, finest first, (N, C, H' / stride, W' / stride) each."""
        features = self.backbone(batch)
        return [features[name] for name in self.in_features]

    def predict(self, levels: Sequence[Tensor]) -> DenseOutputs:
        """What the heads say about every anchor of the pyramid levels."""
        return self.dense(levels, *self.head(levels))

    def dense(self, levels: Sequence[Tensor], logits: Sequence[Tensor], deltas: Sequence[Tensor]) -> DenseOutputs:
        """Line up what the heads said with the anchors of the pyramid levels."""
        grids = [(int(level.shape[-2]), int(level.shape[-1])) for level in levels]
        return DenseOutputs(
            [permute_to_N_HWA_K(level, self.num_classes) for level in logits],
            [permute_to_N_HWA_K(level, 4) for level in deltas],
            self.anchor_generator(grids, levels[0].device),
        )

    def losses(
        self, dense: DenseOutputs, gt_boxes: Sequence[Tensor], gt_classes: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Compare predictions with the truth.

        Args:
            dense: predictions for N pictures.
            gt_boxes: N tensors (G, 4) float, x1 y1 x2 y2 in pixels of the resized picture; G may be 0.
            gt_classes: N tensors (G,) int64 in [0, K).

        Returns:
            scalars `loss_cls` and `loss_box_reg`, float32 under autocast too; both carry gradient, with or without
            objects.
        """
        sums, num_objects = self.loss_sums(dense, gt_boxes, gt_classes)
        divisor = self.update_normalizer(num_objects)
        return {name: value / divisor for name, value in sums.items()}

    def loss_sums(
        self, dense: DenseOutputs, gt_boxes: Sequence[Tensor], gt_classes: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The same before they are divided, for a part of a batch; and the number of anchors that found an object."""
        anchors = torch.cat(dense.anchors)
        labels, boxes = self._label(anchors, gt_boxes, gt_classes)
        is_object = (labels >= 0) & (labels != self.num_classes)  # (N, R)
        logits = torch.cat(dense.logits, dim=1)  # (N, R, K)
        deltas = torch.cat(dense.deltas, dim=1)  # (N, R, 4)
        sums = {
            "loss_cls": self._class_loss(logits, labels),
            "loss_box_reg": self._box_loss(deltas, anchors, boxes, is_object),
        }
        return sums, is_object.sum()

    def decode(
        self,
        dense: DenseOutputs,
        image_hws: Sequence[tuple[int, int]],
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> list[DecodedBoxes]:
        """Turn predictions into the boxes of N pictures, in pixels of the resized picture, clipped to it.

        Args:
            dense: predictions for N pictures.
            image_hws: N (height, width) without padding, from `preprocess`.
            score_threshold, nms_threshold, max_detections: None takes the value of the configuration.
        """
        rules = DecodingRules(
            self.cfg["MODEL.RETINANET.SCORE_THRESH_TEST"] if score_threshold is None else score_threshold,
            self.cfg["MODEL.RETINANET.NMS_THRESH_TEST"] if nms_threshold is None else nms_threshold,
            self.cfg["MODEL.RETINANET.TOPK_CANDIDATES_TEST"],
            self.cfg["TEST.DETECTIONS_PER_IMAGE"] if max_detections is None else max_detections,
        )
        return decode_batch(dense, image_hws, rules, self.cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"])

    def _mean_and_std(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return (3, 1, 1) float32 each; no buffers, which a model cast to bf16 would round."""
        if device not in self._pixel_statistics:
            values = torch.tensor([self.cfg["MODEL.PIXEL_MEAN"], self.cfg["MODEL.PIXEL_STD"]], dtype=torch.float32)
            mean, std = values.view(2, 3, 1, 1).to(device).unbind(dim=0)
            self._pixel_statistics[device] = (mean, std)
        return self._pixel_statistics[device]

    def _padded(self, side: int) -> int:
        step = self.backbone.size_divisibility
        return (side + step - 1) // step * step

    @torch.no_grad()
    def _label(
        self, anchors: Tensor, gt_boxes: Sequence[Tensor], gt_classes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return (N, R) int64 classes, K for background and IGNORED; and (N, R, 4) boxes, of use for objects only."""
        labels, boxes = [], []
        for boxes_of_image, classes_of_image in zip(gt_boxes, gt_classes):
            image_boxes = boxes_of_image.to(anchors.device).float().reshape(-1, 4)
            matches, kinds = match_anchors(
                anchors,
                image_boxes,
                self.cfg["MODEL.RETINANET.IOU_THRESHOLDS"],
                self.cfg["MODEL.RETINANET.IOU_LABELS"],
            )
            if len(image_boxes) == 0:
                labels.append(torch.full_like(matches, self.num_classes))
                boxes.append(torch.zeros_like(anchors))
                continue
            image_labels = classes_of_image.to(anchors.device)[matches]
            image_labels[kinds == BACKGROUND] = self.num_classes
            image_labels[kinds == IGNORED] = IGNORED
            labels.append(image_labels)
            boxes.append(image_boxes[matches])
        return torch.stack(labels), torch.stack(boxes)

    def update_normalizer(self, num_objects: Tensor) -> float:
        """Move the running mean by this step's count over all processes; return what this process divides by.

        DistributedDataParallel averages the gradients of W processes; dividing by a W-th of the common mean makes
        that average the gradient of one process that holds the whole batch.
        """
        world = 1
        if dist.is_available() and dist.is_initialized():
            world = dist.get_world_size()
            dist.all_reduce(num_objects)
        count = max(int(num_objects), 1)
        self.loss_normalizer = self.loss_normalizer * NORMALIZER_MOMENTUM + count * (1 - NORMALIZER_MOMENTUM)
        return self.loss_normalizer / world

    def _class_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        counted = labels != IGNORED
        targets = F.one_hot(labels[counted], num_classes=self.num_classes + 1)[:, :-1]  # background is no class
        return sigmoid_focal_loss(
            logits[counted],
            targets,
            self.cfg["MODEL.RETINANET.FOCAL_LOSS_ALPHA"],
            self.cfg["MODEL.RETINANET.FOCAL_LOSS_GAMMA"],
            None if self.class_weights is None else self.class_weights.to(logits.device),
        )

    def _box_loss(self, deltas: Tensor, anchors: Tensor, boxes: Tensor, is_object: Tensor) -> Tensor:
        """Only anchors of objects count: (N, R, 4), (R, 4), (N, R, 4), (N, R)."""
        weights = self.cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"]
        found, wanted = deltas[is_object].float(), boxes[is_object]
        sources = anchors.expand_as(boxes)[is_object]
        kind = self.cfg["MODEL.RETINANET.BBOX_REG_LOSS_TYPE"]
        if kind == "smooth_l1":
            beta = self.cfg["MODEL.RETINANET.SMOOTH_L1_LOSS_BETA"]
            return smooth_l1_loss(found, encode_boxes(sources, wanted, weights), beta)
        return _BOX_LOSSES[kind](decode_boxes(sources, found, weights), wanted)


def build_retinanet(cfg: Mapping[str, Any], num_classes: int) -> RetinaNet:
    """Build the network with freshly drawn weights.

    Args:
        cfg: a Config; MODEL.RETINANET.NUM_CLASSES is ignored in favour of
        num_classes: K.

    Raises:
        ConfigError: this engine does not build such a network; the sentence says which one does.
    """
    check_supported(cfg)
    if num_classes < 1:
        raise ConfigError(f"a detector needs at least one class, found {num_classes}")
    return RetinaNet(cfg, num_classes)


def _checked_features(names: Sequence[str], strides: Mapping[str, int]) -> tuple[str, ...]:
    for name in names:
        if name not in strides:
            raise ConfigError(f"MODEL.RETINANET.IN_FEATURES names {name!r}, expected some of {', '.join(strides)}")
    return tuple(names)
