"""Precision-recall and confidence curves by hand, and against pycocotools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.curves import RECALLS, confidence_curve, precision_by_class
from ymir_detectron2.evaluation.matching import UNMATCHED, Matches
from ymir_detectron2.evaluation.metrics import evaluate


def one_class(objects: int, *pred: tuple[float, bool]) -> Matches:
    """All in one image: (score, whether it is a true positive), best first."""
    return Matches(
        starts=np.array([0, len(pred)]),
        scores=np.array([score for score, _ in pred], dtype=np.float64),
        classes=np.zeros(len(pred), dtype=np.int64),
        gt_index=np.array([i if is_tp else UNMATCHED for i, (_, is_tp) in enumerate(pred)], dtype=np.int64),
        ranks=np.arange(len(pred)),
        gt_counts=np.array([objects, 0]),
    )


def test_without_objects_there_is_no_curve_of_recall():
    assert precision_by_class(one_class(0)) == {}
    assert precision_by_class(one_class(0, (0.9, False))) == {}


@pytest.mark.parametrize(
    ("objects", "pred", "up_to_half", "above_half"),
    [
        pytest.param(2, [], 0, 0, id="no detection"),
        pytest.param(2, [(0.9, True)], 1, 0, id="one of two"),
        pytest.param(2, [(0.9, True), (0.8, False), (0.7, True)], 1, 2 / 3, id="an fp between"),
        pytest.param(2, [(0.9, False), (0.8, True), (0.7, True)], 2 / 3, 2 / 3, id="an fp first"),
        pytest.param(2, [(0.9, False), (0.8, False)], 0, 0, id="no tp"),
    ],
)
def test_precision_is_the_best_at_this_recall_or_above(objects: int, pred, up_to_half: float, above_half: float):
    curve = precision_by_class(one_class(objects, *pred))[0]
    assert curve.shape == RECALLS.shape == (101,)
    np.testing.assert_allclose(curve[:51], up_to_half)
    np.testing.assert_allclose(curve[51:], above_half)


def test_a_class_has_the_ap50_that_pycocotools_gives_it(tmp_path: Path):
    """Jittered, doubled and wrongly classified boxes; scores with ties; one image with 150 boxes of a class."""
    random = np.random.default_rng(7)
    records: list[Record] = []
    predictions: dict[int, Detections] = {}
    for number in range(40):
        corners = random.uniform(0, 60, size=(random.integers(0, 12), 2)).astype(np.float32)
        boxes = np.concatenate([corners, corners + random.uniform(5, 30, corners.shape).astype(np.float32)], axis=1)
        classes = random.integers(0, 3, len(boxes))
        records.append(Record(Path(f"{number}.jpg"), 100, 100, boxes, classes.astype(np.int32)))
        doubled = np.concatenate([boxes] * (2 if number else 14)).reshape(-1, 4)
        pred = np.abs(doubled + random.normal(0, 2, doubled.shape)).astype(np.float32)
        pred[:, 2:] = np.maximum(pred[:, 2:], pred[:, :2] + 1)
        labels = np.where(random.random(len(pred)) < 0.9, np.resize(classes, len(pred)), 1) if len(pred) else classes
        scores = (random.integers(1, 30, len(pred)) / 30).astype(np.float32)
        predictions[number + 1] = Detections(pred, scores, labels.astype(np.int64))
    crowded = np.tile(np.array([[10, 10, 30, 30]], dtype=np.float32), (150, 1)) + random.uniform(0, 40, (150, 1))
    records.append(Record(Path("crowded.jpg"), 100, 100, crowded[120:].astype(np.float32), np.zeros(30, np.int32)))
    crowded_scores = np.linspace(1, 0.1, 150, dtype=np.float32)
    predictions[41] = Detections(crowded.astype(np.float32), crowded_scores, np.zeros(150, np.int64))
    names = ("cat", "dog", "owl", "never seen")
    write_coco_json(tmp_path / "val.json", records, names)
    evaluation = evaluate(tmp_path / "val.json", predictions, names)
    curves = precision_by_class(evaluation.matches)
    assert {names[class_id]: curve.mean() for class_id, curve in curves.items()} == pytest.approx(
        dict(evaluation.metrics.ap50_by_class), abs=1e-9
    )
    assert list(curves) == [0, 1, 2]
    assert 0.2 < evaluation.metrics.ap50 < 0.9


def test_confidence_of_nothing_is_an_empty_curve():
    for matches in (one_class(0), one_class(3)):
        assert [len(column) for column in confidence_curve(matches)] == [0, 0, 0, 0]


def test_confidence():
    """Two objects; a tp at 0.9, an fp at 0.5: above 0.5 the precision is one of one, below it one of two."""
    curve = confidence_curve(one_class(2, (0.9, True), (0.5, False)))
    assert curve.thresholds == pytest.approx(np.arange(90) / 100)
    assert curve.precision == pytest.approx([0.5] * 50 + [1] * 40)
    assert curve.recall == pytest.approx([0.5] * 90)
    assert curve.f1 == pytest.approx([0.5] * 50 + [2 / 3] * 40)


def test_without_objects_every_detection_is_a_false_positive():
    curve = confidence_curve(one_class(0, (0.03, False)))
    assert [column.tolist() for column in curve[1:]] == [[0, 0, 0]] * 3
