"""The numbers of the real detectron2 for one case. Needs detectron2; on the CPU its compiled parts are not used."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from retinanet_cases import (
    BASE,
    NUM_CLASSES,
    SCORE_THRESHOLDS,
    TRAINED,
    Case,
    Measured,
    as_arrays,
    fill_weights,
    list_of,
    pictures,
    state_norms,
    train_steps,
    truth,
)


def config_of(case: Case) -> Any:
    cfg = get_cfg()
    cfg.merge_from_file(str(BASE))
    cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list([item for pair in case.overrides.items() for item in pair])
    return cfg


def build(case: Case) -> Any:
    model = build_model(config_of(case))
    fill_weights(model)
    return model


def resized(picture: np.ndarray, cfg: Any) -> torch.Tensor:
    """As DefaultPredictor does it."""
    resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
    changed = resize.get_transform(picture).apply_image(picture)
    return torch.as_tensor(changed.astype("float32").transpose(2, 0, 1))


@torch.no_grad()
def detect(model: Any, cfg: Any, originals: Sequence[np.ndarray], threshold: float) -> list[dict[str, np.ndarray]]:
    model.test_score_thresh = threshold
    inputs = [
        {"image": resized(picture, cfg), "height": picture.shape[0], "width": picture.shape[1]} for picture in originals
    ]
    found = [output["instances"] for output in model(inputs)]
    return [as_arrays(item.pred_boxes.tensor, item.scores, item.pred_classes) for item in found]


def measure(case: Case) -> Measured:
    cfg, model = config_of(case), build(case)
    images = [resized(picture, cfg) for picture in pictures()]
    model.eval()
    with torch.no_grad():
        batch = model.preprocess_image([{"image": image} for image in images]).tensor
        features = model.backbone(batch)
        levels = [features[name] for name in model.head_in_features]
        logits, deltas = model.head(levels)
        anchors = [boxes.tensor for boxes in model.anchor_generator(levels)]
    detections = {threshold: detect(model, cfg, pictures(), threshold) for threshold in SCORE_THRESHOLDS}
    alone = detect(model, cfg, pictures()[:1], SCORE_THRESHOLDS[0])
    model.train()
    inputs = [_training_input(images[index], index) for index in TRAINED]
    with EventStorage():
        curve, norms = train_steps(model, lambda: model(inputs))
    return Measured(
        batch=batch.numpy(),
        anchors=list_of(anchors),
        logits=list_of([permute_to_N_HWA_K(level, NUM_CLASSES) for level in logits]),
        deltas=list_of([permute_to_N_HWA_K(level, 4) for level in deltas]),
        detections=detections,
        detections_alone=alone,
        losses=curve,
        gradient_norms=norms,
        state_norms=state_norms(model),
        loss_normalizer=model.loss_normalizer,
    )


def _training_input(image: torch.Tensor, index: int) -> dict[str, Any]:
    boxes, classes = truth(index)
    instances = Instances((int(image.shape[1]), int(image.shape[2])))
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = classes
    return {"image": image, "instances": instances}
