"""Match detections to ground truth as COCO does, and count true positives, false positives and false negatives.

Letters: P images, N detections and G ground-truth boxes of one image, D detections of all images, K classes.

Within an image and a class, detections are taken best score first, and each gets the ground-truth box that it overlaps
most among those still free. A weaker detection never takes a box from a better one, so one matching holds for every
score threshold. The confusion matrix pairs boxes across classes and therefore matches them separately (confusion.py).
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from ..box_geometry import pairwise_iou
from ..contract.training_result import IOU_THRESHOLD, SCORE_THRESHOLD

UNMATCHED = -1
_NEAR_ONE = 1 - 1e-10  # as in pycocotools: rounding may keep two equal boxes from an IoU of 1


class EvaluatedImage(NamedTuple):
    """Ground truth and detections of one image; boxes are x1 y1 x2 y2 in pixels of the original image."""

    path: str
    gt_boxes: np.ndarray
    """(G, 4) float64."""
    gt_classes: np.ndarray
    """(G,) int64, 0-based."""
    pred_boxes: np.ndarray
    """(N, 4) float64, in any order."""
    pred_scores: np.ndarray
    """(N,) float64."""
    pred_classes: np.ndarray
    """(N,) int64, 0-based."""
    image_hw: tuple[int, int] = (0, 0)
    """Of the upright original image; (0, 0) where it is not known."""


class Counts(NamedTuple):
    """Counts at one score threshold. Detections are `tp` + `fp`, ground-truth boxes `tp` + `fn`."""

    tp: int
    """Detections with a ground-truth box."""
    fp: int
    """Detections without one, duplicates included."""
    fn: int
    """Ground-truth boxes without a detection."""

    @property
    def precision(self) -> float:
        """Share of the detections that are true positives; 0 without a detection."""
        return _rate(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the ground-truth boxes that are detected; 0 without a ground-truth box."""
        return _rate(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where both are."""
        return _rate(2 * self.tp, 2 * self.tp + self.fp + self.fn)


class OperatingPoint(NamedTuple):
    """A score threshold and what a user gets with it."""

    score_threshold: float
    counts: Counts
    """Of all classes together."""


class Matches(NamedTuple):
    """The detections of a set, whatever their score: image after image, in the order of each."""

    starts: np.ndarray
    """(P + 1,) int64: the detections of image i are rows starts[i] to starts[i + 1]."""
    scores: np.ndarray
    """(D,) float64."""
    classes: np.ndarray
    """(D,) int64."""
    gt_index: np.ndarray
    """(D,) int64: index into the ground truth of the same image, or UNMATCHED."""
    gt_counts: np.ndarray
    """(K,) int64: ground-truth boxes of each class in the set."""

    @property
    def is_tp(self) -> np.ndarray:
        """(D,) bool: true positives at the IoU of the matching."""
        return np.asarray(self.gt_index != UNMATCHED)


def match_set(images: Sequence[EvaluatedImage], num_classes: int, iou_threshold: float = IOU_THRESHOLD) -> Matches:
    """Match the detections of every image of a set to its ground truth."""
    gt_classes = _concatenate([image.gt_classes for image in images], np.int64)
    return Matches(
        starts=np.cumsum([0, *(len(image.pred_scores) for image in images)]),
        scores=_concatenate([image.pred_scores for image in images], np.float64),
        classes=_concatenate([image.pred_classes for image in images], np.int64),
        gt_index=_concatenate([match_image(image, iou_threshold) for image in images], np.int64),
        gt_counts=np.bincount(gt_classes, minlength=num_classes),
    )


def match_image(image: EvaluatedImage, iou_threshold: float = IOU_THRESHOLD) -> np.ndarray:
    """Match each detection of an image to one ground-truth box of its class: (N,) index in [0, G), or UNMATCHED."""
    gt_index = np.full(len(image.pred_scores), UNMATCHED, dtype=np.int64)
    for class_id in np.intersect1d(image.pred_classes, image.gt_classes):
        rows = np.flatnonzero(image.pred_classes == class_id)
        rows = rows[np.argsort(-image.pred_scores[rows], kind="stable")]
        gt_rows = np.flatnonzero(image.gt_classes == class_id)
        iou = pairwise_iou(image.pred_boxes[rows], image.gt_boxes[gt_rows])  # (n, g) of this class
        columns = _match_in_order(iou, min(iou_threshold, _NEAR_ONE))
        gt_index[rows] = np.where(columns == UNMATCHED, UNMATCHED, gt_rows[columns])
    return gt_index


def _match_in_order(iou: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Give the rows of (n, g), first one first, the free column with the highest IoU, or UNMATCHED."""
    matched = np.full(len(iou), UNMATCHED, dtype=np.int64)
    free = iou.copy()
    for row in np.flatnonzero((iou >= iou_threshold).any(axis=1)):
        # argmax takes the first of equal values; COCOeval.evaluateImg takes the last, hence from behind
        column = free.shape[1] - 1 - int(free[row, ::-1].argmax())
        if free[row, column] >= iou_threshold:
            matched[row] = column
            free[:, column] = -1
    return matched


def counts_by_class(matches: Matches, score_threshold: float = SCORE_THRESHOLD) -> list[Counts]:
    """Count the detections of each class that score above a threshold; K entries."""
    num_classes = len(matches.gt_counts)
    kept = matches.scores > score_threshold  # as `conf_threshold` of a task: a score equal to it is left out
    predicted = np.bincount(matches.classes[kept], minlength=num_classes)
    true = np.bincount(matches.classes[kept & matches.is_tp], minlength=num_classes)
    rows = zip(true.tolist(), predicted.tolist(), matches.gt_counts.tolist())
    return [Counts(tp, total - tp, labelled - tp) for tp, total, labelled in rows]


def operating_point(matches: Matches, score_threshold: float = SCORE_THRESHOLD) -> OperatingPoint:
    """Count the detections of all classes together that score above a threshold."""
    by_class = np.array(counts_by_class(matches, score_threshold), dtype=np.int64).reshape(-1, 3)  # K may be 0
    tp, fp, fn = by_class.sum(axis=0).tolist()
    return OperatingPoint(score_threshold, Counts(tp, fp, fn))


def best_f1(matches: Matches) -> OperatingPoint | None:
    """Find the score threshold with the highest F1 over all classes together; of equals the highest.

    Between the score of the weakest detection to keep and the next lower one every threshold gives the same counts:
    the shortest decimal is taken, which a user can type.

    Returns:
        None if no detection is a true positive.
    """
    threshold = _best_threshold(matches.scores, matches.is_tp, int(matches.gt_counts.sum()))
    return None if threshold is None else operating_point(matches, threshold)


def best_f1_by_class(matches: Matches) -> dict[int, OperatingPoint]:
    """Find the score threshold of each class alone, as `best_f1` does; the counts are those of the class.

    Returns:
        By class, in their order; without the classes of which no detection is a true positive.
    """
    points = {}
    by_class = np.argsort(matches.classes, kind="stable")
    ends = np.cumsum(np.bincount(matches.classes, minlength=len(matches.gt_counts)))
    for class_id, (end, labelled) in enumerate(zip(ends.tolist(), matches.gt_counts.tolist())):
        rows = by_class[ends[class_id - 1] if class_id else 0 : end]
        scores, is_tp = matches.scores[rows], matches.is_tp[rows]
        threshold = _best_threshold(scores, is_tp, labelled)
        if threshold is not None:
            kept = scores > threshold
            tp = int(is_tp[kept].sum())
            points[class_id] = OperatingPoint(threshold, Counts(tp, int(kept.sum()) - tp, labelled - tp))
    return points


def _best_threshold(scores: np.ndarray, is_tp: np.ndarray, labelled: int) -> float | None:
    """Return the threshold that `best_f1` describes, for detections in any order and their ground-truth boxes."""
    order = np.argsort(-scores, kind="stable")
    order = order[~np.isnan(scores[order])]  # NaN is above no threshold
    scores, tp = scores[order], np.cumsum(is_tp[order])
    if not len(scores) or tp[-1] == 0:
        return None
    f1 = 2 * tp / (np.arange(1, len(scores) + 1) + labelled)  # 2 tp / (detections + ground truth)
    next_scores = np.append(scores[1:], 0.0)
    f1[next_scores == scores] = -1  # detections of one score are kept or left out together
    last = int(f1.argmax())
    low, high = float(next_scores[last]), float(scores[last])
    middle = (low + high) / 2
    rounded = (round(middle, decimals) for decimals in range(2, 17))
    return next((number for number in rounded if low < number < high), middle)  # middle: neighbours in float64


def _concatenate(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    """Join any number of arrays, none included."""
    return np.concatenate([np.zeros(0, dtype=dtype), *arrays]).astype(dtype, copy=False)


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
