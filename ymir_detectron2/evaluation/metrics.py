"""COCO's box metrics with pycocotools.

A class without a labelled object has no AP and does not count in the means. No prediction at all is AP 0, not an error.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

_IOU_50 = 0  # index of IoU 0.50 and 0.75 in COCO's ten thresholds 0.50, 0.55, ... 0.95
_IOU_75 = 5
_ALL_AREAS = 0
_MAX_100 = 2  # index of "at most 100 boxes per picture" in COCO's 1, 10, 100


@dataclass(frozen=True)
class Metrics:
    """All in [0, 1]; a mean over nothing is 0."""

    ap: float
    """Mean over IoU 0.50 to 0.95."""
    ap50: float
    ap75: float
    ar100: float
    """Recall averaged over IoU 0.50 to 0.95 with at most 100 boxes per picture."""
    ap_by_class: Mapping[str, float]
    """Classes without a labelled object are left out."""
    ap50_by_class: Mapping[str, float]


class ImageResult(NamedTuple):
    """The boxes predicted for one picture of a COCO file."""

    image_id: int
    boxes_xyxy: np.ndarray
    """(N, 4) pixels of the original picture."""
    scores: np.ndarray
    """(N,)"""
    classes: np.ndarray
    """(N,) 0-based."""


def evaluate_boxes(coco_json: Path, results: Sequence[ImageResult], class_names: Sequence[str]) -> Metrics:
    """Compare predictions with the boxes of a COCO file.

    Only the pictures in `results` are judged, so that one that cannot be decoded does not count as missed.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its own progress
        truth = COCO(str(coco_json))
        predicted = COCO()  # not truth.loadRes: that fails without a prediction
        predicted.dataset = {**truth.dataset, "annotations": _coco_annotations(results)}
        predicted.createIndex()
        evaluation = COCOeval(truth, predicted, "bbox")
        evaluation.params.imgIds = sorted(result.image_id for result in results)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, _ALL_AREAS, _MAX_100]  # (IoU, recall, class)
    recall = evaluation.eval["recall"][:, :, _ALL_AREAS, _MAX_100]  # (IoU, class)
    return Metrics(
        ap=_mean(precision),
        ap50=_mean(precision[_IOU_50]),
        ap75=_mean(precision[_IOU_75]),
        ar100=_mean(recall),
        ap_by_class=_by_class(precision, class_names),
        ap50_by_class=_by_class(precision[_IOU_50], class_names),
    )


def _coco_annotations(results: Sequence[ImageResult]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for result in results:
        rows = zip(result.boxes_xyxy.tolist(), result.scores.tolist(), result.classes.tolist())
        for (x1, y1, x2, y2), score, class_id in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": result.image_id,
                    "category_id": class_id + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return annotations


def _mean(values: np.ndarray) -> float:
    """Mean of what could be measured; pycocotools marks the rest with -1."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else 0.0


def _by_class(precision: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """Split the last axis, (..., class), by class name."""
    columns = (precision[..., index] for index in range(len(class_names)))
    return {name: _mean(column) for name, column in zip(class_names, columns) if (column > -1).any()}
