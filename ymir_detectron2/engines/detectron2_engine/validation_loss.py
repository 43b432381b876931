"""The losses of a picture as detectron2's RetinaNet has them, without a trace in its running numbers."""

from __future__ import annotations

import torch
from detectron2.modeling import RetinaNet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from ...retinanet.precision import autocast
from ...training.pictures import TrainingPicture
from ...training.validation_loss import LossSums

_NORMALIZER = "loss_normalizer"


def retinanet_loss_sums(model: RetinaNet, device: torch.device, autocast_dtype: torch.dtype | None) -> LossSums:
    """See `training.validation_loss.LossSums`."""

    def loss_sums(picture: TrainingPicture) -> tuple[dict[str, float], int]:
        image = torch.from_numpy(picture.image_chw)
        images = model.preprocess_image([{"image": image}])
        with autocast(device, autocast_dtype):
            features = model.backbone(images.tensor.to(memory_format=torch.channels_last))
            levels = [features[name] for name in model.head_in_features]
            logits, deltas = model.head(levels)
        anchors = model.anchor_generator(levels)
        labels, boxes = model.label_anchors(anchors, [_instances(picture, device)])
        before = getattr(model, _NORMALIZER, None)
        with EventStorage():  # detectron2 notes the number of positive anchors somewhere, and here it is not wanted
            losses = model.losses(
                anchors,
                [permute_to_N_HWA_K(level.float(), model.num_classes) for level in logits],
                labels,
                [permute_to_N_HWA_K(level.float(), 4) for level in deltas],
                boxes,
            )
        divisor = float(getattr(model, _NORMALIZER))
        if before is None:
            delattr(model, _NORMALIZER)
        else:
            setattr(model, _NORMALIZER, before)
        found = int(sum(((of_one >= 0) & (of_one != model.num_classes)).sum() for of_one in labels))
        return {name: float(value) * divisor for name, value in losses.items()}, found

    return loss_sums


def _instances(picture: TrainingPicture, device: torch.device) -> Instances:
    height, width = picture.image_chw.shape[1:]
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.from_numpy(picture.boxes_xyxy))
    instances.gt_classes = torch.from_numpy(picture.classes)
    return instances.to(device)
