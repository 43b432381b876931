"""RetinaNet: from images to dense outputs, and from these to losses or boxes.

Letters: N images of a batch, K classes, R anchors of all levels, G ground-truth boxes of one image.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.supported import check_supported
from ..errors import ConfigError
from .anchors import AnchorGenerator
from .boxes import BACKGROUND, IGNORED, decode_boxes, encode_boxes, match_anchors
from .decoding import DecodedBoxes, DenseOutputs, PostprocessConfig, decode_batch
from .fpn import build_fpn
from .head import RetinaNetHead, permute_to_N_HWA_K
from .losses import ciou_loss, diou_loss, giou_loss, sigmoid_focal_loss, smooth_l1_loss

NORMALIZER_START, NORMALIZER_MOMENTUM = 100.0, 0.9
"""Of the running mean of positive anchors per step, by which the losses are divided; detectron2's numbers."""

_BOX_LOSSES = {"giou": giou_loss, "diou": diou_loss, "ciou": ciou_loss}


class RetinaNet(nn.Module):
    """ResNet, FPN, head and anchors; every number comes from the configuration."""

    def __init__(self, cfg: Mapping[str, Any], num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.cfg = cfg
        self.backbone = build_fpn(cfg)
        self.in_features = tuple(cfg["MODEL.RETINANET.IN_FEATURES"])
        for name in self.in_features:
            if name not in self.backbone.strides:
                expected = ", ".join(self.backbone.strides)
                raise ConfigError(f"MODEL.RETINANET.IN_FEATURES names {name!r}, expected some of {expected}")
        self.strides = [self.backbone.strides[name] for name in self.in_features]
        self.anchor_generator = AnchorGenerator.from_config(cfg, self.strides)
        self.head = RetinaNetHead(cfg, num_classes, self.anchor_generator.num_anchors)
        self._pixel_statistics: dict[torch.device, tuple[Tensor, Tensor]] = {}
        self.loss_normalizer: float = NORMALIZER_START  # not a buffer: detectron2's checkpoints have none either
        self.class_weights: Tensor | None = None
        """(K,) how much an object of each class counts in `loss_cls`; None: all alike."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.head.cls_score.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the weights."""
        return self.head.cls_score.weight.dtype

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of the weights, which inputs should share: else every convolution converts them."""
        is_last = self.head.cls_score.weight.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if is_last else torch.contiguous_format

    def preprocess(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Normalise and pad images to one batch on the model's device.

        Args:
            images: N tensors (3, H, W) uint8 on any device, channels in the order of INPUT.FORMAT.

        Returns:
            (N, 3, H', W') float32, zeros where an image ends; and N (height, width) without the padding.
        """
        sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        step = self.backbone.size_divisibility
        height, width = (-(-max(sides) // step) * step for sides in zip(*sizes))
        mean, std = self._mean_and_std(self.device)
        batch = torch.zeros((len(images), 3, height, width), dtype=torch.float32, device=self.device)
        # normalised one by one, so that the padding is 0 and not -mean / std, as in detectron2
        for slot, image, (h, w) in zip(batch, images, sizes):
            slot[:, :h, :w] = (image.to(self.device, non_blocking=True) - mean) / std
        return batch, sizes

    def forward(
        self, batch: Tensor, gt_boxes: Sequence[Tensor] | None = None, gt_classes: Sequence[Tensor] | None = None
    ) -> DenseOutputs | tuple[dict[str, Tensor], Tensor]:
        """Predict for a batch (N, 3, H', W') from `preprocess`; with ground truth, return its `loss_sums` instead.

        The losses are computed in here because DistributedDataParallel wraps `forward` only.
        """
        dense = self.predict(self.features(batch))
        if gt_boxes is None or gt_classes is None:
            return dense
        return self.loss_sums(dense, gt_boxes, gt_classes)

    def features(self, batch: Tensor) -> list[Tensor]:
        """Return the pyramid levels for the heads, finest first, (N, C, H' / stride, W' / stride) each."""
        features = self.backbone(batch)
        return [features[name] for name in self.in_features]

    def predict(self, levels: Sequence[Tensor]) -> DenseOutputs:
        """Run the heads on the pyramid levels."""
        return self.dense(levels, *self.head(levels))

    def dense(self, levels: Sequence[Tensor], logits: Sequence[Tensor], deltas: Sequence[Tensor]) -> DenseOutputs:
        """Bring the outputs of the heads, (N, A*K, H, W) and (N, A*4, H, W), into the order of the anchors."""
        grids = [(int(level.shape[-2]), int(level.shape[-1])) for level in levels]
        return DenseOutputs(
            [permute_to_N_HWA_K(level, self.num_classes) for level in logits],
            [permute_to_N_HWA_K(level, 4) for level in deltas],
            self.anchor_generator(grids, levels[0].device),
        )

    def losses(
        self, dense: DenseOutputs, gt_boxes: Sequence[Tensor], gt_classes: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, and move the normalizer by it.

        Args:
            dense: predictions for N images.
            gt_boxes: N tensors (G, 4) float, x1 y1 x2 y2 in pixels of the resized image; G may be 0.
            gt_classes: N tensors (G,) int64 in [0, K), or IGNORED: the anchors that are matched with such a box do not
                count.

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
        """Return the losses before normalisation, for a micro-batch or a batch, and its number of positive anchors."""
        anchors = torch.cat(dense.anchors)  # (R, 4)
        labels, boxes = self._label_anchors(anchors, gt_boxes, gt_classes)
        is_object = (labels >= 0) & (labels != self.num_classes)  # (N, R)
        logits = torch.cat(dense.logits, dim=1)  # (N, R, K)
        deltas = torch.cat(dense.deltas, dim=1)  # (N, R, 4)
        sums = {
            "loss_cls": self._class_loss(logits, labels),
            "loss_box_reg": self._box_loss(deltas, anchors, boxes, is_object),
        }
        return sums, is_object.sum()

    def update_normalizer(self, num_objects: Tensor) -> float:
        """Move the running mean by the positive anchors of a step in all processes; return the divisor of this process.

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

    def decode(
        self, dense: DenseOutputs, image_hws: Sequence[tuple[int, int]], score_threshold: float | None = None
    ) -> list[DecodedBoxes]:
        """Decode the boxes of N images, in pixels of the resized image, clipped to it.

        Args:
            dense: predictions for N images.
            image_hws: N (height, width) without padding, from `preprocess`.
            score_threshold: None takes the value of the configuration.
        """
        postprocess = PostprocessConfig.from_config(self.cfg)
        if score_threshold is not None:
            postprocess = postprocess._replace(score_threshold=score_threshold)
        return decode_batch(dense, image_hws, postprocess, self.cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"])

    def _mean_and_std(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(3, 1, 1) float32 each; not buffers, which a model cast to bf16 would round."""
        if device not in self._pixel_statistics:
            values = torch.tensor([self.cfg["MODEL.PIXEL_MEAN"], self.cfg["MODEL.PIXEL_STD"]], dtype=torch.float32)
            mean, std = values.view(2, 3, 1, 1).to(device).unbind(dim=0)
            self._pixel_statistics[device] = (mean, std)
        return self._pixel_statistics[device]

    @torch.no_grad()
    def _label_anchors(
        self, anchors: Tensor, gt_boxes: Sequence[Tensor], gt_classes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """(N, R) int64 classes, with K for background, or IGNORED; and (N, R, 4) boxes, meaningless but for objects."""
        labels, boxes = [], []
        for boxes_of_image, classes_of_image in zip(gt_boxes, gt_classes):
            image_boxes = boxes_of_image.to(anchors.device).float().reshape(-1, 4)
            matches, kinds = match_anchors(
                anchors,
                image_boxes,
                self.cfg["MODEL.RETINANET.IOU_THRESHOLDS"],
                self.cfg["MODEL.RETINANET.IOU_LABELS"],
            )
            if len(image_boxes) == 0:  # there is no box to index below
                labels.append(torch.full_like(matches, self.num_classes))
                boxes.append(torch.zeros_like(anchors))
                continue
            image_labels = classes_of_image.to(anchors.device)[matches]  # IGNORED for anchors of ignored boxes
            image_labels[kinds == BACKGROUND] = self.num_classes
            image_labels[kinds == IGNORED] = IGNORED
            labels.append(image_labels)
            boxes.append(image_boxes[matches])
        return torch.stack(labels), torch.stack(boxes)

    def _class_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        counted = labels != IGNORED  # (N, R)
        targets = F.one_hot(labels[counted], num_classes=self.num_classes + 1)[:, :-1]  # background is all zeros
        return sigmoid_focal_loss(
            logits[counted],
            targets,
            self.cfg["MODEL.RETINANET.FOCAL_LOSS_ALPHA"],
            self.cfg["MODEL.RETINANET.FOCAL_LOSS_GAMMA"],
            None if self.class_weights is None else self.class_weights.to(logits.device),
        )

    def _box_loss(self, deltas: Tensor, anchors: Tensor, boxes: Tensor, is_object: Tensor) -> Tensor:
        """Sum over the anchors of objects only: (N, R, 4), (R, 4), (N, R, 4), (N, R)."""
        weights = self.cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"]
        pred, target = deltas[is_object].float(), boxes[is_object]  # (n, 4) each
        anchors = anchors.expand_as(boxes)[is_object]  # (R, 4) -> (N, R, 4) -> (n, 4)
        kind = self.cfg["MODEL.RETINANET.BBOX_REG_LOSS_TYPE"]
        if kind == "smooth_l1":
            beta = self.cfg["MODEL.RETINANET.SMOOTH_L1_LOSS_BETA"]
            return smooth_l1_loss(pred, encode_boxes(anchors, target, weights), beta)  # of offsets
        return _BOX_LOSSES[kind](decode_boxes(anchors, pred, weights), target)  # of boxes


def build_retinanet(cfg: Mapping[str, Any], num_classes: int) -> RetinaNet:
    """Build the network with random initial weights.

    Args:
        cfg: every key of detectron2's RetinaNet; MODEL.RETINANET.NUM_CLASSES is ignored.
        num_classes: K.

    Raises:
        ConfigError: this engine does not build such a network.
    """
    check_supported(cfg)
    if num_classes < 1:
        raise ConfigError(f"a detector needs at least one class, found {num_classes}")
    return RetinaNet(cfg, num_classes)
