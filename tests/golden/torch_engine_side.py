"""The numbers of this project's RetinaNet for one case, made by the code that tasks run.

Images are files. They are detected by the detector that `TorchEngine.load_detector` makes of a checkpoint, and trained
on by `Trainer`, with its resizing, optimizer, clipping and schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from PIL import Image

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
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.detections import Detections, Detector
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.torch_engine import TorchEngine
from ymir_detectron2.inference.predict import predict_images
from ymir_detectron2.inference.tiling import Window, tile_to_image
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.retinanet.decoding import DenseOutputs, PostprocessConfig, decode_batch
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet
from ymir_detectron2.retinanet.resize import resized_hw
from ymir_detectron2.training.loop import Trainer

CLASS_NAMES = ("a", "b", "c")


def config_of(case: Case) -> RetinaNetConfig:
    return load_config(BASE).merged(case.overrides, case.name)


def build(case: Case) -> RetinaNet:
    """Build the network in the memory format that tasks use."""
    model = build_retinanet(config_of(case), NUM_CLASSES).to(memory_format=torch.channels_last)
    fill_weights(model)
    return model


def write_images(folder: Path, originals: Sequence[np.ndarray], cfg: RetinaNetConfig) -> list[Path]:
    """Write images, channels in the order of INPUT.FORMAT, as files that keep every pixel."""
    paths = [folder / f"{number}.png" for number in range(len(originals))]
    for path, image in zip(paths, originals):
        Image.fromarray(np.ascontiguousarray(image if cfg["INPUT.FORMAT"] == "RGB" else image[:, :, ::-1])).save(path)
    return paths


def load_detector(model: RetinaNet, folder: Path, threshold: float) -> Detector:
    """Save a model as a training saves its stages, and load it as an inference does: fused, with the default form."""
    write_checkpoint(folder / "model.pth", model.state_dict(), {"class_names": list(CLASS_NAMES)})
    (folder / "config.yaml").write_text(model.cfg.to_yaml(), encoding="utf-8")
    package = ModelPackage(folder / "model.pth", folder / "config.yaml", None, "the golden test")
    options = DetectorOptions(InferSettings(), (), threshold, batch_size=0, overrides={}, class_names=())
    return TorchEngine().load_detector(package, options)


def detect_files(detector: Detector, paths: Sequence[Path]) -> list[dict[str, np.ndarray]]:
    predictions = [one.detections for one in predict_images(detector, paths, num_workers=1)]
    return [as_arrays(one.boxes_xyxy, one.scores, one.classes) for one in predictions]


@single_thread()
def measure(case: Case, folder: Path) -> Measured:
    cfg, model = config_of(case), build(case).eval()
    paths = write_images(folder, images(), cfg)
    detectors = {threshold: load_detector(model, folder, threshold) for threshold in FILE_THRESHOLDS}
    load = detectors[FILE_THRESHOLDS[0]].load
    with torch.no_grad():
        batch, image_hws = model.preprocess([torch.tensor(load(one)).permute(2, 0, 1) for one in images()])
        dense = model(batch)
    return Measured(
        batch=batch.numpy(),
        anchors=list_of(dense.anchors),
        logits=list_of(dense.logits),
        deltas=list_of(dense.deltas),
        detections={threshold: _detections(dense, image_hws, cfg, threshold) for threshold in SCORE_THRESHOLDS},
        detections_alone={threshold: detect_files(one, paths) for threshold, one in detectors.items()},
        trained=train(model, cfg, folder),
    )


def _detections(
    dense: DenseOutputs, image_hws: Sequence[tuple[int, int]], cfg: RetinaNetConfig, threshold: float
) -> list[dict[str, np.ndarray]]:
    """Decode a batch of images of all shapes, which the detector would divide by shape."""
    postprocess = PostprocessConfig.from_config(cfg)._replace(score_threshold=threshold)
    scaled = []
    for decoded, hw, image in zip(
        decode_batch(dense, image_hws, postprocess, cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"]), image_hws, images()
    ):
        height, width = image.shape[:2]
        detections = Detections(*(field.numpy() for field in decoded))
        scaled.append(tile_to_image(detections, Window(0, 0, width, height), hw))
    return [as_arrays(one.boxes_xyxy, one.scores, one.classes) for one in scaled]


@single_thread()
def measure_training(case: Case, folder: Path) -> Trained:
    return train(build(case), config_of(case), folder)


def train(model: RetinaNet, cfg: RetinaNetConfig, folder: Path) -> Trained:
    """Train for MAX_ITER steps with the trainer of tasks."""
    before = trainable(model)
    trainer = Trainer(
        model.train(), cfg, training_set(folder, cfg), device=torch.device("cpu"), autocast_dtype=None, seed=0,
        num_workers=0,
    )  # fmt: skip
    stats = [trainer.train_step(1)]
    norms = gradient_norms(model)  # as computed, unless CLIP_GRADIENTS changed them
    stats += [trainer.train_step(step) for step in range(2, cfg["SOLVER.MAX_ITER"] + 1)]
    return Trained(
        losses=[dict(one.losses) for one in stats],
        learning_rates=[one.learning_rate for one in stats],
        gradient_norms=norms,
        update_norms=update_norms(before, trainable(model)),
        state_norms=state_norms(model),
        loss_normalizer=model.loss_normalizer,
    )


def training_set(folder: Path, cfg: RetinaNetConfig) -> CocoDataset:
    """The images of TRAINED, with their boxes in pixels of the original images."""
    (folder / "train").mkdir()
    paths = write_images(folder / "train", [images()[index] for index in TRAINED], cfg)
    hws = [images()[index].shape[:2] for index in TRAINED]
    boxes, classes = [], []
    for index, (height, width) in zip(TRAINED, hws):
        new_height, new_width = resized_hw(height, width, cfg["INPUT.MIN_SIZE_TRAIN"][0], cfg["INPUT.MAX_SIZE_TRAIN"])
        resized_boxes, classes_of_image = ground_truth(index)
        boxes.append(resized_boxes.numpy() * np.array([width / new_width, height / new_height] * 2))
        classes.append(classes_of_image.numpy())
    return CocoDataset(
        class_names=CLASS_NAMES,
        image_paths=tuple(map(str, paths)),
        image_hw=np.array(hws, dtype=np.int32),
        box_starts=np.cumsum([0, *map(len, classes)]),
        boxes_xyxy=np.concatenate(boxes).astype(np.float32),
        classes=np.concatenate(classes),
    )
