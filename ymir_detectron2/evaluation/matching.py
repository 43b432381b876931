"""Which found box stands for which object, as COCO matches them, and the counts that follow.

Letters: P pictures, N found boxes and G objects of one picture, D found boxes of all pictures, K classes.

Within a picture and a class, boxes are taken best score first, and each gets the object that it overlaps most among
those still free. A weaker box never takes an object from a better one, so one matching holds for every threshold.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

IOU_THRESHOLD = 0.5
SCORE_THRESHOLD = 0.2
"""What `conf_threshold` is in the forms of inference and mining; boxes with this score or less are left out."""
NO_OBJECT = -1
_CELLS_AT_ONCE = 1 << 16  # of a table of overlaps: with what the cache holds, 10,000 objects take a tenth of the time
_NEAR_ONE = 1 - 1e-10  # as in pycocotools: rounding may keep two equal boxes from an IoU of 1


class JudgedPicture(NamedTuple):
    """The labelled objects of a picture and the boxes found in it; boxes are x1 y1 x2 y2 in its pixels."""

    path: str
    truth_boxes: np.ndarray
    """(G, 4) float64."""
    truth_classes: np.ndarray
    """(G,) int64, 0-based."""
    found_boxes: np.ndarray
    """(N, 4) float64."""
    found_scores: np.ndarray
    """(N,) float64."""
    found_classes: np.ndarray
    """(N,) int64, 0-based."""


class Counts(NamedTuple):
    """Boxes at one threshold. Found boxes are `tp` + `fp`, objects are `tp` + `fn`; a rate of nothing is 0."""

    tp: int
    """Found boxes that stand for an object."""
    fp: int
    """Found boxes that stand for none, or for one that a better box has."""
    fn: int
    """Objects that were missed."""

    @property
    def precision(self) -> float:
        return _rate(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _rate(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _rate(2 * self.tp, 2 * self.tp + self.fp + self.fn)


class OperatingPoint(NamedTuple):
    """What a user gets who sets this threshold."""

    score_threshold: float
    counts: Counts
    """Of all classes together."""


class Matches(NamedTuple):
    """The found boxes of a set, whatever their score: picture after picture, in the order of each."""

    starts: np.ndarray
    """(P + 1,) int64: the boxes of picture i are rows starts[i] to starts[i + 1]."""
    scores: np.ndarray
    """(D,) float64."""
    classes: np.ndarray
    """(D,) int64."""
    objects: np.ndarray
    """(D,) int64: the row of its object in the picture's truth, or NO_OBJECT."""
    ranks: np.ndarray
    """(D,) int64: how many boxes of its class in its picture come before it."""
    object_counts: np.ndarray
    """(K,) int64: objects of each class in the set."""


def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (N, G) intersection over union of (N, 4) and (G, 4) boxes; 0 where they do not touch."""
    iou = np.zeros((len(boxes), len(others)))
    rows_at_once = max(1, _CELLS_AT_ONCE // max(1, len(others)))
    for first in range(0, len(boxes), rows_at_once):
        some = boxes[first : first + rows_at_once, None]
        widths = np.minimum(some[..., 2], others[:, 2]) - np.maximum(some[..., 0], others[:, 0])
        heights = np.minimum(some[..., 3], others[:, 3]) - np.maximum(some[..., 1], others[:, 1])
        rows, columns = np.nonzero((widths > 0) & (heights > 0))
        intersection = widths[rows, columns] * heights[rows, columns]
        union = _areas(boxes[first + rows]) + _areas(others[columns]) - intersection
        iou[first + rows, columns] = intersection / union
    return iou


def match_set(pictures: Sequence[JudgedPicture], num_classes: int, iou_threshold: float = IOU_THRESHOLD) -> Matches:
    """Match every picture of a set."""
    pairs = [match_picture(picture, iou_threshold) for picture in pictures]
    truth_classes = _joined([picture.truth_classes for picture in pictures], np.int64)
    return Matches(
        starts=np.cumsum([0, *(len(picture.found_scores) for picture in pictures)]),
        scores=_joined([picture.found_scores for picture in pictures], np.float64),
        classes=_joined([picture.found_classes for picture in pictures], np.int64),
        objects=_joined([objects for objects, _ in pairs], np.int64),
        ranks=_joined([ranks for _, ranks in pairs], np.int64),
        object_counts=np.bincount(truth_classes, minlength=num_classes),
    )


def match_picture(picture: JudgedPicture, iou_threshold: float = IOU_THRESHOLD) -> tuple[np.ndarray, np.ndarray]:
    """Give each found box an object of its class, or none.

    Returns:
        (N,) int64 row in the truth or NO_OBJECT, and (N,) int64 rank among the boxes of its class.
    """
    objects = np.full(len(picture.found_scores), NO_OBJECT, dtype=np.int64)
    ranks = np.zeros(len(picture.found_scores), dtype=np.int64)
    for class_id in np.unique(picture.found_classes):
        rows = np.flatnonzero(picture.found_classes == class_id)
        rows = rows[np.argsort(-picture.found_scores[rows], kind="stable")]
        truth_rows = np.flatnonzero(picture.truth_classes == class_id)
        ranks[rows] = np.arange(len(rows))
        if len(truth_rows):
            iou = pairwise_iou(picture.found_boxes[rows], picture.truth_boxes[truth_rows])
            columns = _match_in_order(iou, min(iou_threshold, _NEAR_ONE))
            objects[rows] = np.where(columns == NO_OBJECT, NO_OBJECT, truth_rows[columns])
    return objects, ranks


def _match_in_order(iou: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Give the rows of (N, G), first one first, the free column with the highest IoU; of equals the last, as COCO."""
    taken = np.full(len(iou), NO_OBJECT, dtype=np.int64)
    left = iou.copy()
    for row in np.flatnonzero((iou >= iou_threshold).any(axis=1)):
        column = left.shape[1] - 1 - int(left[row, ::-1].argmax())
        if left[row, column] >= iou_threshold:
            taken[row] = column
            left[:, column] = -1
    return taken


def counts_by_class(matches: Matches, score_threshold: float = SCORE_THRESHOLD) -> list[Counts]:
    """Count right, false and missed boxes of each class among the boxes above a threshold."""
    num_classes = len(matches.object_counts)
    kept = matches.scores > score_threshold
    found = np.bincount(matches.classes[kept], minlength=num_classes)
    right = np.bincount(matches.classes[kept & (matches.objects != NO_OBJECT)], minlength=num_classes)
    rows = zip(right.tolist(), found.tolist(), matches.object_counts.tolist())
    return [Counts(tp, total - tp, objects - tp) for tp, total, objects in rows]


def operating_point(matches: Matches, score_threshold: float = SCORE_THRESHOLD) -> OperatingPoint:
    """Count over all classes together."""
    by_class = np.array(counts_by_class(matches, score_threshold), dtype=np.int64).reshape(-1, 3)
    tp, fp, fn = by_class.sum(axis=0).tolist()
    return OperatingPoint(score_threshold, Counts(tp, fp, fn))


def best_f1(matches: Matches) -> OperatingPoint | None:
    """The threshold with the highest F1 over all classes together; of equals the highest. None: no box is right.

    The score of the weakest box to keep and that of the next one leave room: the shortest decimal between them.
    """
    order = np.argsort(-matches.scores, kind="stable")
    scores = matches.scores[order]
    right = np.cumsum(matches.objects[order] != NO_OBJECT)
    if not len(scores) or right[-1] == 0:
        return None
    f1 = 2 * right / (np.arange(1, len(scores) + 1) + matches.object_counts.sum())
    next_scores = np.append(scores[1:], 0.0)
    f1[next_scores == scores] = -1  # boxes of one score are kept or left out together
    last = int(f1.argmax())
    return operating_point(matches, _short_number_between(float(next_scores[last]), float(scores[last])))


def _short_number_between(low: float, high: float) -> float:
    middle = (low + high) / 2
    rounded = (round(middle, decimals) for decimals in range(2, 17))
    return next((number for number in rounded if low < number < high), middle)


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts]).astype(dtype, copy=False)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
