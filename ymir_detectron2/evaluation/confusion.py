"""What is taken for what."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .matching import IOU_THRESHOLD, SCORE_THRESHOLD, JudgedPicture, pairwise_iou


def confusion_matrix(
    pictures: Sequence[JudgedPicture],
    num_classes: int,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
) -> np.ndarray:
    """Count pairs of object and found box, whatever their classes.

    Boxes and objects are paired by overlap, the highest IoU first, each once; of equals the higher score first, since
    RetinaNet gives one place under two names exactly the same box. Only IoUs and scores above the thresholds count.

    Returns:
        (K + 1, K + 1) int64: row is the class of the object, column that of the box. Row K: boxes that stand for
        nothing; column K: objects that were missed. [K, K] is 0.
    """
    labelled, found = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for picture in pictures:
        kept = np.flatnonzero(picture.found_scores > score_threshold)
        iou = pairwise_iou(picture.found_boxes[kept], picture.truth_boxes)
        boxes, objects = _pairs(iou, picture.found_scores[kept], iou_threshold)
        found_classes = picture.found_classes[kept]
        false, missed = np.delete(found_classes, boxes), np.delete(picture.truth_classes, objects)
        labelled += [picture.truth_classes[objects], np.full(len(false), num_classes), missed]
        found += [found_classes[boxes], false, np.full(len(missed), num_classes)]
    side = num_classes + 1
    cells = np.concatenate(labelled) * side + np.concatenate(found)
    return np.bincount(cells, minlength=side * side).reshape(side, side)


def _pairs(iou: np.ndarray, scores: np.ndarray, iou_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of (N, G), each at most once, by falling IoU and then score."""
    rows, columns = np.nonzero(iou > iou_threshold)
    order = np.lexsort((-scores[rows], -iou[rows, columns]))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist()):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return np.array(list(pairs), dtype=np.int64), np.array(list(pairs.values()), dtype=np.int64)
