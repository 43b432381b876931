"""The plots of an evaluation, all of them, under the names that models in use are packed with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluated_images import pixels_of
from tests.evaluated_sets import random_evaluation
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.confusion import confusion_matrix
from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.metrics import evaluate
from ymir_detectron2.evaluation.plots import plot_confusion
from ymir_detectron2.evaluation.report import FILE_NAMES, plot_report
from ymir_detectron2.evaluation.worst_images import plot_worst_images, worst_images


def test_the_file_names_are_fixed():
    assert FILE_NAMES == (
        "precision_recall.png", "confidence.png", "confusion_matrix.png", "ap_by_class.png", "worst_pictures.png",
        "losses.png",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["all detected", "no detection", "nothing labelled", "no image"])
def test_every_plot_is_made_whatever_the_validation_set_holds(tmp_path: Path, kind: str):
    names = ["红细胞", "白细胞 WBC", "a$b$"]
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg")
    boxes = np.array([[5, 5, 25, 25]] * len(names), dtype=np.float32)
    classes = np.arange(len(names))
    labelled = slice(0, 0) if kind in ("nothing labelled", "no image") else slice(None)
    write_coco_json(
        tmp_path / "val.json",
        [Record(tmp_path / "a.jpg", 60, 40, boxes[labelled], classes[labelled].astype(np.int32))],
        names,
    )
    kept = slice(0, 0) if kind == "no detection" else slice(None)
    detections = Detections(boxes[kept], np.full(len(names), 0.5, np.float32)[kept], classes[kept])
    evaluation = evaluate(tmp_path / "val.json", {} if kind == "no image" else {1: detections}, names)
    losses = {"loss_cls": LossCurve([1, 2], [1.0, 0.5])}
    plots = {name: pixels_of(png) for name, png in plot_report(evaluation, losses, {})}
    assert tuple(plots) == FILE_NAMES


def test_confusion_and_worst_images_are_those_at_the_best_threshold(tmp_path: Path):
    evaluation = random_evaluation(tmp_path, ("cat", "dog"), 12)
    names, images, best = evaluation.class_names, evaluation.images, evaluation.metrics.best_threshold
    assert best != 0.2
    plots = dict(plot_report(evaluation, {}, {}))
    assert plots["confusion_matrix.png"] == plot_confusion(confusion_matrix(images, 2, best), names, best)
    worst = worst_images(images, evaluation.matches, best)
    assert plots["worst_pictures.png"] == plot_worst_images(worst, images, names, best)
