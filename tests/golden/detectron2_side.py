"""The numbers of the real detectron2 for one case. Needs detectron2; on the CPU its compiled parts are not used."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from tests.golden.retinanet_cases import (
    BASE,
    FILE_THRESHOLDS,
    NUM_CLASSES,
    SCORE_THRESHOLDS,
    TRAINED,
    Case,
    Measured,
    Trained,
    as_arrays,
    fill_weights,
    gradient_norms,
    ground_truth,
    images,
    list_of,
    single_thread,
    state_norms,
    trainable,
    update_norms,
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


def resized(image: np.ndarray, cfg: Any) -> torch.Tensor:
    """As DefaultPredictor does it."""
    resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
    changed = resize.get_transform(image).apply_image(image)
    return torch.as_tensor(changed.astype("float32").transpose(2, 0, 1))


@torch.no_grad()
def detect(model: Any, cfg: Any, originals: Sequence[np.ndarray], threshold: float) -> list[dict[str, np.ndarray]]:
    """Detect in images that share one batch."""
    model.test_score_thresh = threshold
    inputs = [{"image": resized(image, cfg), "height": image.shape[0], "width": image.shape[1]} for image in originals]
    detections = [output["instances"] for output in model(inputs)]
    return [as_arrays(one.pred_boxes.tensor, one.scores, one.pred_classes) for one in detections]


def detect_alone(
    model: Any, cfg: Any, originals: Sequence[np.ndarray], threshold: float
) -> list[dict[str, np.ndarray]]:
    """Detect in one image after the other, as DefaultPredictor does."""
    return [detect(model, cfg, [image], threshold)[0] for image in originals]


@single_thread()
def measure(case: Case) -> Measured:
    cfg, model = config_of(case), build(case)
    resized_images = [resized(image, cfg) for image in images()]
    model.eval()
    with torch.no_grad():
        batch = model.preprocess_image([{"image": resized_image} for resized_image in resized_images]).tensor
        features = model.backbone(batch)
        levels = [features[name] for name in model.head_in_features]
        logits, deltas = model.head(levels)
        anchors = [boxes.tensor for boxes in model.anchor_generator(levels)]
    return Measured(
        batch=batch.numpy(),
        anchors=list_of(anchors),
        logits=list_of([permute_to_N_HWA_K(level, NUM_CLASSES) for level in logits]),
        deltas=list_of([permute_to_N_HWA_K(level, 4) for level in deltas]),
        detections={threshold: detect(model, cfg, images(), threshold) for threshold in SCORE_THRESHOLDS},
        detections_alone={threshold: detect_alone(model, cfg, images(), threshold) for threshold in FILE_THRESHOLDS},
        trained=train(model, cfg),
    )


@single_thread()
def measure_training(case: Case) -> Trained:
    return train(build(case), config_of(case))


def train(model: Any, cfg: Any) -> Trained:
    """Train for MAX_ITER steps with detectron2's own optimizer, clipping and schedule, as its SimpleTrainer does."""
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    inputs = [_training_input(index, cfg) for index in TRAINED]
    before = trainable(model)
    losses, learning_rates, norms = [], [], {}
    model.train()
    with EventStorage():
        for _ in range(cfg.SOLVER.MAX_ITER):
            losses_of_step = model(inputs)
            optimizer.zero_grad()
            sum(losses_of_step.values()).backward()
            norms = norms or gradient_norms(model)
            learning_rates.append(optimizer.param_groups[0]["lr"])  # begins with a weight, so without BIAS_LR_FACTOR
            optimizer.step()
            scheduler.step()
            losses.append({name: float(loss.detach()) for name, loss in losses_of_step.items()})
    return Trained(
        losses=losses,
        learning_rates=learning_rates,
        gradient_norms=norms,
        update_norms=update_norms(before, trainable(model)),
        state_norms=state_norms(model),
        loss_normalizer=model.loss_normalizer,
    )


def _training_input(index: int, cfg: Any) -> dict[str, Any]:
    image = resized(images()[index], cfg)
    boxes, classes = ground_truth(index)
    instances = Instances((int(image.shape[1]), int(image.shape[2])))
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = classes
    return {"image": image, "instances": instances}
