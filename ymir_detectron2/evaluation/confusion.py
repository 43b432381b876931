"""Confusion matrices: which classes are predicted where which objects are, at one score threshold and at many.

Ground-truth boxes and detections are paired across classes, by falling IoU and then score. Unlike in matching.py, where
a weaker detection never takes a box from a better one, the pairs depend on the threshold: a detection that overlaps an
object more takes it from those that score higher.

Letters: K classes, T score thresholds, N detections and G ground-truth boxes of one image.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

import numpy as np

from ..box_geometry import pairwise_iou
from ..contract.training_result import IOU_THRESHOLD, SCORE_THRESHOLD
from .matching import EvaluatedImage


class ConfusionSteps(NamedTuple):
    """Confusion matrices at rising score thresholds, as the changes from each to the next lower one.

    The matrix at threshold t is the sum of all rows whose `level` is t or higher. All (R,) int64, in the order of
    level, gt_class and pred_class.
    """

    level: np.ndarray
    """Index of the highest threshold at which the change counts; T for what is there without any detection."""
    gt_class: np.ndarray
    """K: no ground-truth box."""
    pred_class: np.ndarray
    """K: no detection."""
    change: np.ndarray
    """Boxes more, or fewer where negative; never 0."""

    def matrix(self, level: int, num_classes: int) -> np.ndarray:
        """Add up the (K + 1, K + 1) matrix at a threshold, as `confusion_matrix` counts it."""
        matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
        rows = self.level >= level
        np.add.at(matrix, (self.gt_class[rows], self.pred_class[rows]), self.change[rows])
        return matrix


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
        matched = _match(_pairs(iou, image.pred_scores[kept], iou_threshold))
        pred_rows, gt_rows = np.array([*matched], dtype=np.int64), np.array([*matched.values()], dtype=np.int64)
        predicted = image.pred_classes[kept]
        fp, fn = np.delete(predicted, pred_rows), np.delete(image.gt_classes, gt_rows)
        gt_classes += [image.gt_classes[gt_rows], np.full(len(fp), num_classes), fn]
        pred_classes += [predicted[pred_rows], fp, np.full(len(fn), num_classes)]
    side = num_classes + 1
    cells = np.concatenate(gt_classes) * side + np.concatenate(pred_classes)
    return np.bincount(cells, minlength=side * side).reshape(side, side)


def most_confused(matrix: np.ndarray, count: int) -> np.ndarray:
    """Return the classes with the most errors in a (K + 1, K + 1) confusion matrix, in their own order."""
    K = len(matrix) - 1
    errors = matrix[:K].sum(axis=1) + matrix[:, :K].sum(axis=0) - 2 * matrix.diagonal()[:K]
    return np.sort(np.argsort(-errors, kind="stable")[:count])


def confusion_steps(
    images: Iterable[EvaluatedImage],
    class_groups: np.ndarray,
    thresholds: np.ndarray,
    iou_threshold: float = IOU_THRESHOLD,
) -> ConfusionSteps:
    """Count pairs of ground-truth box and detection at many score thresholds at once.

    Args:
        class_groups: (K,) int64: the row of the matrix in which a class is counted, so that many classes can share one.
            Memory grows with T times the square of their number.
        thresholds: (T,) float64, rising.
    """
    num_groups = int(class_groups.max()) + 1 if len(class_groups) else 0
    group_of = np.append(class_groups, num_groups)  # the class after the last stands for no box
    side, num_levels = num_groups + 1, len(thresholds) + 1
    totals = np.zeros(num_levels * side * side, dtype=np.int64)
    for image in images:
        levels = np.searchsorted(thresholds, image.pred_scores, side="left") - 1  # (N,) -1: above no threshold
        changes = np.array(_changes(image, levels, len(class_groups), len(thresholds), iou_threshold), dtype=np.int64)
        level, gt_class, pred_class, change = changes.reshape(-1, 4).T
        np.add.at(totals, (level * side + group_of[gt_class]) * side + group_of[pred_class], change)
    cells = np.flatnonzero(totals)
    return ConfusionSteps(cells // (side * side), cells // side % side, cells % side, totals[cells])


def _changes(
    image: EvaluatedImage, levels: np.ndarray, num_classes: int, top_level: int, iou_threshold: float
) -> list[tuple[int, int, int, int]]:
    """Return (level, class of the ground truth, class of the detection, 1 or -1) for an image, from the top down."""
    kept = np.flatnonzero(levels >= 0)
    iou = pairwise_iou(image.pred_boxes[kept], image.gt_boxes)
    pairs = _pairs(iou, image.pred_scores[kept], iou_threshold)
    level_of, pred_classes = levels[kept].tolist(), image.pred_classes[kept].tolist()
    gt_classes = [*image.gt_classes.tolist(), num_classes]  # the last, at index -1, is that of no box

    changes = [(top_level, gt_class, num_classes, 1) for gt_class in gt_classes[:-1]]
    changes += [(level, num_classes, pred_class, 1) for level, pred_class in zip(level_of, pred_classes)]
    before: dict[int, int] = {}
    # only where a detection that overlaps an object comes in can the pairs change
    for level in sorted({level_of[row] for row, _ in pairs}, reverse=True):
        matched = _match([(row, column) for row, column in pairs if level_of[row] >= level])
        for row in {*before, *matched}:
            old, new = before.get(row, -1), matched.get(row, -1)
            if old != new:
                changes.append((level, gt_classes[old], pred_classes[row], -1))
                changes.append((level, gt_classes[new], pred_classes[row], 1))
        old_found, found = set(before.values()), set(matched.values())
        changes += [(level, gt_classes[column], num_classes, 1) for column in old_found - found]
        changes += [(level, gt_classes[column], num_classes, -1) for column in found - old_found]
        before = matched
    return changes


def _pairs(iou: np.ndarray, scores: np.ndarray, iou_threshold: float) -> list[tuple[int, int]]:
    """Return row and column of all entries of (N, G) above the threshold, by falling IoU and then score."""
    rows, columns = np.nonzero(iou > iou_threshold)
    # the score decides often: RetinaNet predicts one box under two classes with exactly the same corners
    order = np.lexsort((-scores[rows], -iou[rows, columns]))
    return list(zip(rows[order].tolist(), columns[order].tolist()))


def _match(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Take pairs in order unless their row or column is taken; return the column of each row."""
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in pairs:
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    return matched
