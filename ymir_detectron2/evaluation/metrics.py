"""COCO's box metrics with pycocotools, and right and wrong boxes at a threshold.

A class without a labelled object has no AP and does not count in the means. No prediction at all is AP 0, not an error.
Crowds are unknown here: YMIR's labels have none.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .matching import (
    SCORE_THRESHOLD,
    Counts,
    JudgedPicture,
    Matches,
    OperatingPoint,
    best_f1,
    counts_by_class,
    match_set,
    operating_point,
)

_IOU_50 = 0  # index of IoU 0.50 and 0.75 in COCO's ten thresholds 0.50, 0.55, ... 0.95
_IOU_75 = 5
_ALL_AREAS, _SMALL, _MEDIUM, _LARGE = range(4)
_MAX_1, _MAX_10, _MAX_100 = range(3)  # at most so many boxes of a class per picture
_BOXES_AT_ONCE = 200_000  # that pycocotools is given, if classes can be parted so: it takes 4.5 KB for each


@dataclass(frozen=True)
class Metrics:
    """All in [0, 1]; a mean over nothing is 0."""

    ap: float
    """Mean over IoU 0.50 to 0.95."""
    ap50: float
    ap75: float
    ar100: float
    """Recall averaged over IoU 0.50 to 0.95, with at most 100 boxes of each class per picture."""
    ap_by_class: Mapping[str, float]
    """Classes without a labelled object are left out."""
    ap50_by_class: Mapping[str, float]
    ap_small: float | None = None
    """AP of objects below 32 x 32 pixels of the original picture; None: there are none."""
    ap_medium: float | None = None
    """From there to 96 x 96 pixels."""
    ap_large: float | None = None
    ar1: float = 0.0
    """As `ar100`, with one box of each class per picture."""
    ar10: float = 0.0
    at_threshold: OperatingPoint | None = None
    """At the threshold of the form, IoU 0.5; None where nothing was matched at all."""
    at_best_f1: OperatingPoint | None = None
    """At the threshold that serves this set best; None: no box is right."""
    counts_by_class: Mapping[str, Counts] = field(default_factory=dict)
    """At the threshold of the form, all classes."""


class ImageResult(NamedTuple):
    """The boxes predicted for one picture of a COCO file."""

    image_id: int
    boxes_xyxy: np.ndarray
    """(N, 4) pixels of the original picture."""
    scores: np.ndarray
    """(N,)"""
    classes: np.ndarray
    """(N,) 0-based."""


class Evaluation(NamedTuple):
    """The metrics of a set, and what pictures of them are made from."""

    metrics: Metrics
    class_names: tuple[str, ...]
    pictures: tuple[JudgedPicture, ...]
    """In the order of the COCO file."""
    matches: Matches
    """At IoU 0.5."""


def evaluate(
    coco_json: Path,
    results: Sequence[ImageResult],
    class_names: Sequence[str],
    *,
    score_threshold: float = SCORE_THRESHOLD,
) -> Evaluation:
    """Compare predictions with the boxes of a COCO file.

    Only the pictures in `results` are judged, so that one that cannot be decoded does not count as missed.

    Args:
        score_threshold: where right and wrong boxes are counted; the AP takes boxes of any score.
    """
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its own progress
        truth = COCO(str(coco_json))
        precision, recall = _accumulated(truth, results, len(class_names))
    pictures = tuple(_judged(truth, result) for result in sorted(results, key=lambda result: result.image_id))
    matches = match_set(pictures, len(class_names))
    metrics = _metrics(precision, recall, matches, class_names, score_threshold)
    return Evaluation(metrics, tuple(class_names), pictures, matches)


def _accumulated(truth: Any, results: Sequence[ImageResult], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision (IoU, recall, class, area, limit) and recall (IoU, class, area, limit) of COCOeval; -1: no object."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    parts = []
    for first, end in _class_ranges(results, num_classes):
        predicted = COCO()  # not truth.loadRes: that fails without a prediction
        predicted.dataset = {**truth.dataset, "annotations": _coco_annotations(results, first, end)}
        predicted.createIndex()
        evaluation = COCOeval(truth, predicted, "bbox")
        evaluation.params.imgIds = sorted(result.image_id for result in results)
        evaluation.params.catIds = list(range(first + 1, end + 1))
        evaluation.evaluate()
        evaluation.accumulate()
        parts.append((evaluation.eval["precision"], evaluation.eval["recall"]))
    precisions, recalls = zip(*parts)
    return np.concatenate(precisions, axis=2), np.concatenate(recalls, axis=1)


def _class_ranges(results: Sequence[ImageResult], num_classes: int) -> Iterator[tuple[int, int]]:
    """First class and end of ranges with at most _BOXES_AT_ONCE boxes, or of a single class."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for result in results:
        counts += np.bincount(result.classes, minlength=num_classes)
    first = 0
    for end in range(1, num_classes + 1):
        if end == num_classes or counts[first : end + 1].sum() > _BOXES_AT_ONCE:
            yield first, end
            first = end


def _metrics(
    precisions: np.ndarray, recalls: np.ndarray, matches: Matches, class_names: Sequence[str], score_threshold: float
) -> Metrics:
    by_area = precisions[..., _MAX_100]  # (IoU, recall, class, area)
    precision = by_area[..., _ALL_AREAS]
    recall = recalls[:, :, _ALL_AREAS]  # (IoU, class, limit)
    return Metrics(
        ap=_mean(precision),
        ap50=_mean(precision[_IOU_50]),
        ap75=_mean(precision[_IOU_75]),
        ar100=_mean(recall[..., _MAX_100]),
        ap_by_class=_by_class(precision, class_names),
        ap50_by_class=_by_class(precision[_IOU_50], class_names),
        ap_small=_mean_if_any(by_area[..., _SMALL]),
        ap_medium=_mean_if_any(by_area[..., _MEDIUM]),
        ap_large=_mean_if_any(by_area[..., _LARGE]),
        ar1=_mean(recall[..., _MAX_1]),
        ar10=_mean(recall[..., _MAX_10]),
        at_threshold=operating_point(matches, score_threshold),
        at_best_f1=best_f1(matches),
        counts_by_class=dict(zip(class_names, counts_by_class(matches, score_threshold))),
    )


def _judged(truth: Any, result: ImageResult) -> JudgedPicture:
    """A result beside the objects of its picture in a `COCO`."""
    objects = truth.imgToAnns.get(result.image_id, [])
    xywh = np.array([annotation["bbox"] for annotation in objects], dtype=np.float64).reshape(-1, 4)
    return JudgedPicture(
        path=truth.imgs[result.image_id]["file_name"],
        truth_boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        truth_classes=np.array([annotation["category_id"] - 1 for annotation in objects], dtype=np.int64),
        found_boxes=result.boxes_xyxy.astype(np.float64).reshape(-1, 4),
        found_scores=result.scores.astype(np.float64),
        found_classes=result.classes.astype(np.int64),
    )


def _coco_annotations(results: Sequence[ImageResult], first_class: int, end_class: int) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for result in results:
        rows = np.flatnonzero((result.classes >= first_class) & (result.classes < end_class))
        columns = zip(result.boxes_xyxy[rows].tolist(), result.scores[rows].tolist(), result.classes[rows].tolist())
        for (x1, y1, x2, y2), score, class_id in columns:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": result.image_id,
                    "category_id": class_id + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "score": score,
                }
            )
    return annotations


def _mean(values: np.ndarray) -> float:
    """Mean of what could be measured; pycocotools marks the rest with -1."""
    return _mean_if_any(values) or 0.0


def _mean_if_any(values: np.ndarray) -> float | None:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None


def _by_class(precision: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """Split the last axis, (..., class), by class name."""
    columns = (precision[..., index] for index in range(len(class_names)))
    return {name: _mean(column) for name, column in zip(class_names, columns) if (column > -1).any()}
