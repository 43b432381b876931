"""Match detections to ground truth as COCO does, and count true positives, false positives and false negatives.

Letters: P images, N detections and G ground-truth boxes of one image, D detections of all images, K classes.

Within an image and a class, detections are taken best score first, and each gets the ground-truth box that it overlaps
most among those still free. A weaker detection never takes a box from a better one, so one matching holds for every
score threshold. The confusion matrix pairs boxes across classes and therefore matches them separately.
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
    ranks: np.ndarray
    """(D,) int64: how many detections of the same class in the same image come before it; 0 is the best."""
    gt_counts: np.ndarray
    """(K,) int64: ground-truth boxes of each class in the set."""

    @property
    def is_tp(self) -> np.ndarray:
        """(D,) bool: true positives at the IoU of the matching."""
        return np.asarray(self.gt_index != UNMATCHED)


def match_set(images: Sequence[EvaluatedImage], num_classes: int, iou_threshold: float = IOU_THRESHOLD) -> Matches:
    """Match the detections of every image of a set to its ground truth."""
    pairs = [match_image(image, iou_threshold) for image in images]
    gt_classes = _concatenate([image.gt_classes for image in images], np.int64)
    return Matches(
        starts=np.cumsum([0, *(len(image.pred_scores) for image in images)]),
        scores=_concatenate([image.pred_scores for image in images], np.float64),
        classes=_concatenate([image.pred_classes for image in images], np.int64),
        gt_index=_concatenate([gt_index for gt_index, _ in pairs], np.int64),
        ranks=_concatenate([ranks for _, ranks in pairs], np.int64),
        gt_counts=np.bincount(gt_classes, minlength=num_classes),
    )


def match_image(image: EvaluatedImage, iou_threshold: float = IOU_THRESHOLD) -> tuple[np.ndarray, np.ndarray]:
    """Match each detection of an image to one ground-truth box of its class, or to none.

    Returns:
        (N,) int64 index in [0, G) or UNMATCHED, and (N,) int64 rank among the detections of the same class.
    """
    gt_index = np.full(len(image.pred_scores), UNMATCHED, dtype=np.int64)
    ranks = np.zeros(len(image.pred_scores), dtype=np.int64)
    for class_id in np.unique(image.pred_classes):
        rows = np.flatnonzero(image.pred_classes == class_id)
        rows = rows[np.argsort(-image.pred_scores[rows], kind="stable")]
        gt_rows = np.flatnonzero(image.gt_classes == class_id)
        ranks[rows] = np.arange(len(rows))
        if len(gt_rows):
            iou = pairwise_iou(image.pred_boxes[rows], image.gt_boxes[gt_rows])  # (n, g) of this class
            columns = _match_in_order(iou, min(iou_threshold, _NEAR_ONE))
            gt_index[rows] = np.where(columns == UNMATCHED, UNMATCHED, gt_rows[columns])
    return gt_index, ranks


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
    order = np.argsort(-matches.scores, kind="stable")
    scores = matches.scores[order]
    tp = np.cumsum(matches.is_tp[order])
    if not len(scores) or tp[-1] == 0:
        return None
    f1 = 2 * tp / (np.arange(1, len(scores) + 1) + matches.gt_counts.sum())  # 2 tp / (detections + ground truth)
    next_scores = np.append(scores[1:], 0.0)
    f1[next_scores == scores] = -1  # detections of one score are kept or left out together
    last = int(f1.argmax())
    low, high = float(next_scores[last]), float(scores[last])
    middle = (low + high) / 2
    rounded = (round(middle, decimals) for decimals in range(2, 17))
    threshold = next((number for number in rounded if low < number < high), middle)  # middle: neighbours in float64
    return operating_point(matches, threshold)


def confusion_matrix(
    images: Sequence[EvaluatedImage],
    num_classes: int,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
) -> np.ndarray:
    """Count pairs of ground-truth box and detection, whatever their classes.

    Only IoUs and scores above the thresholds count.

    Returns:
        (K + 1, K + 1) int64: row is the class of the ground truth, column that of the detection. Row K: detections
        without a ground-truth box; column K: ground truth without a detection. [K, K] is 0.
    """
    gt_classes, pred_classes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for image in images:
        kept = np.flatnonzero(image.pred_scores > score_threshold)
        iou = pairwise_iou(image.pred_boxes[kept], image.gt_boxes)
        pred_rows, gt_rows = _match_across_classes(iou, image.pred_scores[kept], iou_threshold)
        predicted = image.pred_classes[kept]
        fp, fn = np.delete(predicted, pred_rows), np.delete(image.gt_classes, gt_rows)
        gt_classes += [image.gt_classes[gt_rows], np.full(len(fp), num_classes), fn]
        pred_classes += [predicted[pred_rows], fp, np.full(len(fn), num_classes)]
    side = num_classes + 1
    cells = np.concatenate(gt_classes) * side + np.concatenate(pred_classes)
    return np.bincount(cells, minlength=side * side).reshape(side, side)


def _match_across_classes(iou: np.ndarray, scores: np.ndarray, iou_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of (N, G) that belong together, each at most once, by falling IoU and then score."""
    rows, columns = np.nonzero(iou > iou_threshold)
    # the score decides often: RetinaNet predicts one box under two classes with exactly the same corners
    order = np.lexsort((-scores[rows], -iou[rows, columns]))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist()):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return np.array(list(pairs), dtype=np.int64), np.array(list(pairs.values()), dtype=np.int64)


def _concatenate(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    """Join any number of arrays, none included."""
    return np.concatenate([np.zeros(0, dtype=dtype), *arrays]).astype(dtype, copy=False)


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
