"""The numbers of this project's RetinaNet for one case."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
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

from ymir_detectron2.retinanet.config import Config, load_config
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet, scale_detections
from ymir_detectron2.retinanet.resize import resize_image, resized_hw


def config_of(case: Case) -> Config:
    return load_config(BASE).merged(case.overrides, case.name)


def build(case: Case) -> RetinaNet:
    model = build_retinanet(config_of(case), NUM_CLASSES)
    fill_weights(model)
    return model


def resized(picture: np.ndarray, cfg: Config) -> torch.Tensor:
    height, width = picture.shape[:2]
    hw = resized_hw(height, width, cfg["INPUT.MIN_SIZE_TEST"], cfg["INPUT.MAX_SIZE_TEST"])
    return torch.from_numpy(resize_image(picture, hw).transpose(2, 0, 1).copy())


@torch.no_grad()
def detect(
    model: RetinaNet, cfg: Config, originals: Sequence[np.ndarray], threshold: float
) -> list[dict[str, np.ndarray]]:
    batch, hws = model.preprocess([resized(picture, cfg) for picture in originals])
    decoded = model.decode(model(batch), hws, score_threshold=threshold)
    scaled = [scale_detections(found, hw, pic.shape[:2]) for found, hw, pic in zip(decoded, hws, originals)]
    return [as_arrays(found.boxes_xyxy, found.scores, found.classes) for found in scaled]


def measure(case: Case) -> Measured:
    cfg, model = config_of(case), build(case)
    images = [resized(picture, cfg) for picture in pictures()]
    model.eval()
    with torch.no_grad():
        batch, _ = model.preprocess(images)
        dense = model(batch)
    detections = {threshold: detect(model, cfg, pictures(), threshold) for threshold in SCORE_THRESHOLDS}
    alone = detect(model, cfg, pictures()[:1], SCORE_THRESHOLDS[0])
    model.train()
    boxes, classes = zip(*(truth(index) for index in TRAINED))

    def losses_of_step() -> dict[str, torch.Tensor]:
        step_batch, _ = model.preprocess([images[index] for index in TRAINED])
        return model.losses(model(step_batch), boxes, classes)

    curve, norms = train_steps(model, losses_of_step)
    return Measured(
        batch=batch.numpy(),
        anchors=list_of(dense.anchors),
        logits=list_of(dense.logits),
        deltas=list_of(dense.deltas),
        detections=detections,
        detections_alone=alone,
        losses=curve,
        gradient_norms=norms,
        state_norms=state_norms(model),
        loss_normalizer=model.loss_normalizer,
    )
