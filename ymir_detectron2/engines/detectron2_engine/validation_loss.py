"""Losses of an image as detectron2's RetinaNet computes them, without a trace in its running normaliser."""

from __future__ import annotations

import torch
from detectron2.modeling import RetinaNet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from ...retinanet.layers import autocast
from ...training.augmentations import LabelledImage
from ...training.validation_loss import LossSums

_NORMALIZER = "loss_normalizer"


def retinanet_loss_sums(model: RetinaNet, device: torch.device, autocast_dtype: torch.dtype | None) -> LossSums:
    """See `training.validation_loss.LossSums`."""

    def loss_sums(image: LabelledImage) -> tuple[dict[str, float], int]:
        tensor = torch.from_numpy(image.image_hwc).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        images = model.preprocess_image([{"image": tensor}])
        with autocast(device, autocast_dtype):
            features = model.backbone(images.tensor.to(memory_format=torch.channels_last))
            levels = [features[name] for name in model.head_in_features]
            logits, deltas = model.head(levels)
        anchors = model.anchor_generator(levels)
        labels, boxes = model.label_anchors(anchors, [_to_instances(image, device)])
        before = getattr(model, _NORMALIZER, None)
        with EventStorage():  # demanded by `losses`, whose numbers must not get among those of training
            losses = model.losses(
                anchors,
                [permute_to_N_HWA_K(level.float(), model.num_classes) for level in logits],  # (N, H*W*A, K)
                labels,
                [permute_to_N_HWA_K(level.float(), 4) for level in deltas],  # (N, H*W*A, 4)
                boxes,
            )
        # `losses` has moved the running mean and divided by it: undo both
        divisor = float(getattr(model, _NORMALIZER))
        if before is None:  # it exists from the first training step on
            delattr(model, _NORMALIZER)
        else:
            setattr(model, _NORMALIZER, before)
        is_positive = [(of_image >= 0) & (of_image != model.num_classes) for of_image in labels]
        num_positives = sum(int(of_image.sum()) for of_image in is_positive)
        return {name: float(value) * divisor for name, value in losses.items()}, num_positives

    return loss_sums


def _to_instances(image: LabelledImage, device: torch.device) -> Instances:
    instances = Instances(image.image_hwc.shape[:2])
    instances.gt_boxes = Boxes(torch.from_numpy(image.boxes_xyxy))
    instances.gt_classes = torch.from_numpy(image.classes)
    return instances.to(device)
