"""Every figure of an evaluation is that of pycocotools, the judge, on sets of the kinds that come up."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation import metrics
from ymir_detectron2.evaluation.curves import RECALLS
from ymir_detectron2.evaluation.matching import Counts
from ymir_detectron2.evaluation.metrics import evaluate

EXACT = 1e-9  # six digits are needed; the sums of both differ in the sixteenth


class Kind(NamedTuple):
    """A kind of validation set."""

    images: int = 25
    classes: int = 4
    objects: int = 8
    """At most, in an image."""
    false_positives: int = 12
    """At most, in an image, besides one or two detections for most objects."""
    flood: int = 0
    """Further detections of one class in the first image."""
    is_tied: bool = False
    """Scores of eleven values, boxes on a grid: many equal scores and overlaps."""
    crowds: float = 0.0
    """Share of the objects that are crowds. With any, areas are those of a mask, not of the box."""


KINDS = {
    "as of a detector": Kind(),
    "ties": Kind(is_tied=True),
    "crowds and areas of masks": Kind(crowds=0.2),
    "tied crowds": Kind(is_tied=True, crowds=0.3),
    "one class": Kind(classes=1),
    "many classes": Kind(images=12, classes=90),
    "more detections than count": Kind(images=4, classes=2, flood=250),
    "a tied flood": Kind(images=3, classes=1, flood=250, is_tied=True),
    "no detection": Kind(objects=5, false_positives=-1),
    "no object": Kind(objects=0),
    "one image": Kind(images=1, classes=2),
    "no image": Kind(images=0),
}


def make_set(kind: Kind, seed: int) -> tuple[dict[str, Any], dict[int, Detections]]:
    """Return the content of a COCO file, and detections of its images but every tenth."""
    random = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    predictions = {}
    for image_id in range(1, kind.images + 1):
        boxes, classes = random_boxes(random, kind, int(random.integers(0, kind.objects + 1)))
        for (x1, y1, x2, y2), class_id in zip(boxes.tolist(), classes.tolist()):
            area = (x2 - x1) * (y2 - y1) * (random.uniform(0.3, 1) if kind.crowds else 1)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": class_id + 1, "area": area,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(random.random() < kind.crowds),
            })  # fmt: skip
        if image_id % 10:
            flood = kind.flood if image_id == 1 else 0
            predictions[image_id] = random_detections(random, kind, boxes, classes, flood)
    content = {
        "images": [{"id": i + 1, "file_name": f"{i}.jpg", "width": 400, "height": 400} for i in range(kind.images)],
        "categories": [{"id": i + 1, "name": str(i)} for i in range(kind.classes)],
        "annotations": annotations,
    }
    return content, predictions


def random_boxes(random: np.random.Generator, kind: Kind, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of all three sizes, (count, 4), and classes; the last class of several is never labelled."""
    corners = random.integers(0, 12, (count, 2)) * 20.0 if kind.is_tied else random.uniform(0, 250, (count, 2))
    sides = random.choice([20.0, 40.0, 120.0], (count, 2)) if kind.is_tied else np.exp(random.uniform(2, 5, (count, 2)))
    return np.concatenate([corners, corners + sides], axis=1), random.integers(0, max(1, kind.classes - 1), count)


def random_detections(
    random: np.random.Generator, kind: Kind, boxes: np.ndarray, classes: np.ndarray, flood: int
) -> Detections:
    """Some objects found once or twice, now and then under another class, and false positives."""
    if kind.false_positives < 0:
        boxes, classes = boxes[:0], classes[:0]
    found = np.flatnonzero(random.random(2 * len(boxes)) < 0.7) % max(1, len(boxes))
    jitter = random.integers(-1, 2, (len(found), 4)) * 10.0 if kind.is_tied else random.normal(0, 3, (len(found), 4))
    near = np.abs(boxes[found] + jitter)
    far, far_classes = random_boxes(random, kind, int(random.integers(0, max(0, kind.false_positives) + 1)) + flood)
    far_classes = np.where(random.random(len(far)) < 0.2, kind.classes - 1, far_classes)
    pred_classes = np.concatenate([np.where(random.random(len(found)) < 0.85, classes[found], 0), far_classes])
    pred = np.concatenate([near, far])
    pred[:, 2:] = np.maximum(pred[:, 2:], pred[:, :2] + 1)
    scores = random.integers(0, 11, len(pred)) / 10 if kind.is_tied else random.random(len(pred))
    return Detections(pred.astype(np.float32), scores.astype(np.float32), pred_classes.astype(np.int64))


def judge(file: Path, predictions: dict[int, Detections]) -> COCOeval:
    """As the manual of pycocotools says: all classes together, the images that have an entry."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        rows = [
            {
                "image_id": image_id, "category_id": int(class_id) + 1, "score": float(score),
                "bbox": [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)],
            }
            for image_id, pred in predictions.items()
            for (x1, y1, x2, y2), score, class_id in zip(pred.boxes_xyxy, pred.scores, pred.classes)
        ]  # fmt: skip
        predicted = truth.loadRes(rows) if rows else COCO()
        if not rows:
            predicted.dataset = {**truth.dataset, "annotations": []}
            predicted.createIndex()
        evaluation = COCOeval(truth, predicted, "bbox")
        evaluation.params.imgIds = sorted(predictions)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def mean(values: np.ndarray) -> float | None:
    """Of what could be measured; -1 marks the rest."""
    return float(values[values > -1].mean()) if (values > -1).any() else None


@pytest.mark.parametrize("name", KINDS)
def test_figures_are_those_of_pycocotools(name: str, tmp_path: Path):
    for seed in range(3):
        content, predictions = make_set(KINDS[name], seed)
        (tmp_path / "val.json").write_text(json.dumps(content))
        coco = judge(tmp_path / "val.json", predictions)
        class_names = [category["name"] for category in content["categories"]]
        evaluation = evaluate(tmp_path / "val.json", predictions, class_names)
        measured = evaluation.metrics

        assert [measured.ap, measured.ap50, measured.ap75] == pytest.approx(np.maximum(coco.stats[:3], 0), abs=EXACT)
        by_size = [measured.ap_small, measured.ap_medium, measured.ap_large]
        assert [-1 if ap is None else ap for ap in by_size] == pytest.approx(coco.stats[3:6], abs=EXACT)
        recalls = [measured.ar1, measured.ar10, measured.ar100]
        assert recalls == pytest.approx(np.maximum(coco.stats[6:9], 0), abs=EXACT)

        precision = coco.eval["precision"][..., 0, -1]  # (T, R, K) of all sizes, with a hundred detections
        ap_by_class = {class_name: mean(precision[..., index]) for index, class_name in enumerate(class_names)}
        ap_by_class = {class_name: ap for class_name, ap in ap_by_class.items() if ap is not None}
        assert dict(measured.ap_by_class) == pytest.approx(ap_by_class, abs=EXACT)
        curves = {index: precision[0, :, index] for index in range(len(class_names)) if precision[0, 0, index] > -1}
        assert list(evaluation.precision_by_class) == list(curves)
        for index, curve in evaluation.precision_by_class.items():
            assert curve.shape == RECALLS.shape
            assert curve == pytest.approx(curves[index], abs=EXACT)
            assert measured.ap50_by_class[class_names[index]] == pytest.approx(curves[index].mean(), abs=EXACT)


def test_the_sets_are_worth_comparing(tmp_path: Path):
    """Neither perfect nor hopeless, with objects of all sizes, and crowds that change the figures."""
    content, predictions = make_set(KINDS["crowds and areas of masks"], 0)
    (tmp_path / "val.json").write_text(json.dumps(content))
    coco = judge(tmp_path / "val.json", predictions)
    assert 0.1 < coco.stats[0] < coco.stats[1] < 0.9
    assert (coco.stats[3:6] > 0).all()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    (tmp_path / "val.json").write_text(json.dumps(content))
    assert abs(judge(tmp_path / "val.json", predictions).stats[0] - coco.stats[0]) > 1e-3


@pytest.mark.parametrize("limit", ["_BOXES_AT_ONCE", "_PAIRS_AT_ONCE"])
def test_classes_one_by_one_have_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str):
    content, predictions = make_set(KINDS["many classes"], 5)
    (tmp_path / "val.json").write_text(json.dumps(content))
    class_names = [category["name"] for category in content["categories"]]
    at_once = evaluate(tmp_path / "val.json", predictions, class_names)
    assert len(list(metrics._class_ranges(predictions, len(class_names)))) == 1
    monkeypatch.setattr(metrics, limit, 3)
    assert len(list(metrics._class_ranges(predictions, len(class_names)))) > 10
    one_by_one = evaluate(tmp_path / "val.json", predictions, class_names)
    assert one_by_one.metrics == at_once.metrics
    assert {k: curve.tolist() for k, curve in one_by_one.precision_by_class.items()} == {
        k: curve.tolist() for k, curve in at_once.precision_by_class.items()
    }


def test_counts_at_a_threshold_are_those_of_the_matching_of_pycocotools(tmp_path: Path):
    content, predictions = make_set(KINDS["as of a detector"], 7)
    (tmp_path / "val.json").write_text(json.dumps(content))
    coco = judge(tmp_path / "val.json", predictions)
    of_any_size = [image for image in coco.evalImgs if image and image["aRng"] == [0, 1e10]]
    scores = np.concatenate([image["dtScores"] for image in of_any_size])
    is_tp = np.concatenate([image["dtMatches"][0] > 0 for image in of_any_size])  # at IoU 0.5
    tp, predicted = int(is_tp[scores > 0.2].sum()), int((scores > 0.2).sum())
    labelled = sum(annotation["image_id"] in predictions for annotation in content["annotations"])
    measured = evaluate(tmp_path / "val.json", predictions, ["0", "1", "2", "3"]).metrics
    assert measured.at_threshold is not None
    assert measured.at_threshold.counts == Counts(tp, predicted - tp, labelled - tp)
