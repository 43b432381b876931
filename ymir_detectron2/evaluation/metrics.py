"""COCO box metrics by faster-coco-eval, and counts of true and false positives at a score threshold.

A class without a ground-truth box has no AP and does not count in the means. No prediction at all is AP 0, not an
error. Crowds are unknown here: YMIR's labels have none.

Letters: K classes, T = 10 IoU thresholds, R = 101 recall points, A = 4 area ranges, M = 3 limits of detections per
image and class.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ..contract.training_result import SCORE_THRESHOLD
from ..detections import Detections
from .matching import (
    Counts,
    EvaluatedImage,
    Matches,
    OperatingPoint,
    best_f1,
    best_f1_by_class,
    counts_by_class,
    match_set,
    operating_point,
)

logger = logging.getLogger(__name__)

_IOU_50 = 0  # index of IoU 0.50 and 0.75 in COCO's ten thresholds 0.50, 0.55, ... 0.95
_IOU_75 = 5
_ALL_AREAS, _SMALL, _MEDIUM, _LARGE = range(4)
_MAX_1, _MAX_10, _MAX_100 = range(3)  # at most so many boxes of a class per image
# What the library is given, class by class if need be: it takes 1 to 2 KB of memory for a detection, and 1 KB for an
# image in each class, even an empty one.
_BOXES_AT_ONCE = 200_000
_PAIRS_AT_ONCE = 300_000


@dataclass(frozen=True)
class Metrics:
    """Metrics of a validation set, all in [0, 1]; a mean over nothing is 0."""

    ap: float
    """COCO's AP: mean over the IoU thresholds 0.50, 0.55, ... 0.95 and over the classes."""
    ap50: float
    ap75: float
    ar100: float
    """Recall averaged over the same thresholds, with at most 100 detections of each class per image."""
    ap_by_class: Mapping[str, float]
    """Classes without a ground-truth box are left out."""
    ap50_by_class: Mapping[str, float]
    ap_small: float | None = None
    """AP of objects below 32 x 32 pixels of the original image; None if there are none."""
    ap_medium: float | None = None
    """AP of objects from there to 96 x 96 pixels."""
    ap_large: float | None = None
    ar1: float = 0.0
    """As `ar100`, with one detection of each class per image."""
    ar10: float = 0.0
    at_threshold: OperatingPoint | None = None
    """At the default `conf_threshold`, IoU 0.5; None in metrics that were not made by `evaluate`."""
    at_best_f1: OperatingPoint | None = None
    """At the threshold with the highest F1; None if no detection is a true positive."""
    best_f1_by_class: Mapping[str, OperatingPoint] = field(default_factory=dict)
    """As `at_best_f1`, of each class alone; classes of which no detection is a true positive are left out."""
    counts_by_class: Mapping[str, Counts] = field(default_factory=dict)
    """At the threshold of `at_threshold`; every class."""

    @property
    def best_threshold(self) -> float:
        """The score threshold with the highest F1; the default one where no detection is a true positive."""
        return SCORE_THRESHOLD if self.at_best_f1 is None else self.at_best_f1.score_threshold

    @property
    def thresholds(self) -> dict[str, Any]:
        """The best score thresholds as a model keeps them: of all classes, or None, and of each that has one."""
        best = self.at_best_f1
        return {
            "all": None if best is None else best.score_threshold,
            "by_class": {name: point.score_threshold for name, point in self.best_f1_by_class.items()},
        }


class Evaluation(NamedTuple):
    """The metrics of a set, and the data from which they are plotted."""

    metrics: Metrics
    class_names: tuple[str, ...]
    images: tuple[EvaluatedImage, ...]
    """In the order of the COCO file."""
    matches: Matches
    """At IoU 0.5."""
    precision_by_class: Mapping[int, np.ndarray]
    """Class with ground truth -> (R,) the best precision at each of RECALLS or above, at IoU 0.5; 0 where the recall is
    not reached. Its mean is the AP50 of the class."""


def evaluate(
    coco_json: Path,
    predictions: Mapping[int, Detections],
    class_names: Sequence[str],
    *,
    score_threshold: float = SCORE_THRESHOLD,
) -> Evaluation:
    """Compute the metrics of predictions against a COCO file.

    Only the images in `predictions` are evaluated, so that the objects of an image that cannot be decoded do not count
    as false negatives.

    Args:
        predictions: image id of the COCO file -> its detections, of any score.
        class_names: in the order of the category ids 1, 2, ... of the file.
        score_threshold: at which `tp`, `fp` and `fn` are counted; AP and AR take detections of any score.
    """
    from faster_coco_eval import COCO

    truth = COCO(str(coco_json))
    precision, recall = _run_cocoeval(truth, predictions, len(class_names))
    images = tuple(_evaluated_image(truth, image_id, predictions[image_id]) for image_id in sorted(predictions))
    matches = match_set(images, len(class_names))
    metrics = _metrics(precision, recall, matches, class_names, score_threshold)
    curves = precision[_IOU_50, :, :, _ALL_AREAS, _MAX_100]  # (R, K)
    by_class = {class_id: curves[:, class_id] for class_id in range(len(class_names)) if curves[0, class_id] > -1}
    return Evaluation(metrics, tuple(class_names), images, matches, by_class)


def _run_cocoeval(
    truth: Any, predictions: Mapping[int, Detections], num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision (T, R, K, A, M) and recall (T, K, A, M) of COCOeval; -1 where there is no ground truth."""
    from faster_coco_eval import COCO, COCOeval_faster

    by_range = []
    for first, end in _class_ranges(predictions, num_classes):
        predicted = COCO({**truth.dataset, "annotations": _coco_annotations(predictions, first, end)})
        evaluation = COCOeval_faster(truth, predicted, "bbox", print_function=logger.debug)
        evaluation.params.imgIds = sorted(predictions)
        evaluation.params.catIds = list(range(first + 1, end + 1))  # COCO counts categories from 1
        evaluation.evaluate()
        evaluation.accumulate()
        by_range.append((evaluation.eval["precision"], evaluation.eval["recall"]))
    precisions, recalls = zip(*by_range)
    return np.concatenate(precisions, axis=2), np.concatenate(recalls, axis=1)


def _class_ranges(predictions: Mapping[int, Detections], num_classes: int) -> Iterator[tuple[int, int]]:
    """Yield first class and end of ranges with at most _BOXES_AT_ONCE and _PAIRS_AT_ONCE, or of a single class."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for detections in predictions.values():
        counts += np.bincount(detections.classes, minlength=num_classes)
    most_classes = max(1, _PAIRS_AT_ONCE // max(1, len(predictions)))
    first = 0
    for end in range(1, num_classes + 1):
        is_full = end - first == most_classes or counts[first : end + 1].sum() > _BOXES_AT_ONCE
        if is_full or end == num_classes:
            yield first, end
            first = end


def _metrics(
    precisions: np.ndarray, recalls: np.ndarray, matches: Matches, class_names: Sequence[str], score_threshold: float
) -> Metrics:
    by_area = precisions[..., _MAX_100]  # (T, R, K, A)
    precision = by_area[..., _ALL_AREAS]  # (T, R, K)
    recall = recalls[:, :, _ALL_AREAS]  # (T, K, M)
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
        best_f1_by_class={class_names[index]: point for index, point in best_f1_by_class(matches).items()},
        counts_by_class=dict(zip(class_names, counts_by_class(matches, score_threshold))),
    )


def _evaluated_image(truth: Any, image_id: int, detections: Detections) -> EvaluatedImage:
    """Join the detections of an image and its ground truth from a `COCO`."""
    objects = truth.imgToAnns.get(image_id, [])
    xywh = np.array([annotation["bbox"] for annotation in objects], dtype=np.float64).reshape(-1, 4)
    return EvaluatedImage(
        path=truth.imgs[image_id]["file_name"],
        gt_boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        gt_classes=np.array([annotation["category_id"] - 1 for annotation in objects], dtype=np.int64),
        pred_boxes=detections.boxes_xyxy.astype(np.float64).reshape(-1, 4),
        pred_scores=detections.scores.astype(np.float64),
        pred_classes=detections.classes.astype(np.int64),
        image_hw=(truth.imgs[image_id]["height"], truth.imgs[image_id]["width"]),
    )


def _coco_annotations(
    predictions: Mapping[int, Detections], first_class: int, end_class: int
) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for image_id, detections in predictions.items():
        in_range = (detections.classes >= first_class) & (detections.classes < end_class)
        some = detections.take(np.flatnonzero(in_range & ~np.isnan(detections.scores)))  # NaN is above no threshold
        columns = zip(some.boxes_xyxy.tolist(), some.scores.tolist(), some.classes.tolist())
        for (x1, y1, x2, y2), score, class_id in columns:
            annotations.append(
                {
                    "id": len(annotations) + 1,  # from 1: COCOeval takes id 0 for no match
                    "image_id": image_id,
                    "category_id": class_id + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "score": score,
                }
            )
    return annotations


def _mean(values: np.ndarray) -> float:
    """Average what could be measured; COCOeval marks the rest with -1."""
    return _mean_if_any(values) or 0.0


def _mean_if_any(values: np.ndarray) -> float | None:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None


def _by_class(precision: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """Average over all axes but the last, (..., K), which is split by class name."""
    columns = (precision[..., index] for index in range(len(class_names)))
    return {name: _mean(column) for name, column in zip(class_names, columns) if (column > -1).any()}
