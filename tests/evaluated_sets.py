"""Evaluations of sets drawn by a seed: boxes near the objects, doubled, under wrong classes, and where nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.metrics import Evaluation, evaluate

IMAGE_HW = (90, 120)


def random_evaluation(
    folder: Path, class_names: Sequence[str], num_images: int, *, seed: int = 0, objects: int = 6, extra: int = 4,
    image: str = "{}.jpg",
) -> Evaluation:  # fmt: skip
    """Evaluate detections of which most are right, a tenth has a wrong class, and `extra` in an image are nowhere near.

    Args:
        objects: at most so many in an image.
        image: path of an image, with a place for its number.
    """
    random = np.random.default_rng(seed)
    records, predictions = [], {}
    for number in range(num_images):
        boxes = _boxes(random, int(random.integers(0, objects + 1)))
        classes = random.integers(0, len(class_names), len(boxes))
        records.append(Record(Path(image.format(number)), *IMAGE_HW[::-1], boxes, classes.astype(np.int32)))
        near = boxes + random.normal(0, 1.5, boxes.shape).astype(np.float32)
        pred = np.concatenate([near, _boxes(random, extra)])
        pred[:, 2:] = np.maximum(pred[:, 2:], pred[:, :2] + 1)
        labels = np.concatenate([classes, random.integers(0, len(class_names), extra)])
        labels = np.where(random.random(len(labels)) < 0.9, labels, random.integers(0, len(class_names), len(labels)))
        scores = random.beta([*[6] * len(near), *[2] * extra], [*[3] * len(near), *[8] * extra])
        predictions[number + 1] = Detections(pred, scores.astype(np.float32), labels.astype(np.int64))
    write_coco_json(folder / "val.json", records, class_names)
    return evaluate(folder / "val.json", predictions, class_names)


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    corners = random.uniform(0, 60, size=(count, 2))
    return np.concatenate([corners, corners + random.uniform(8, 30, size=(count, 2))], axis=1).astype(np.float32)
