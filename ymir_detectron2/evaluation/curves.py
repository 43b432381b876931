"""Precision against recall, and both against the threshold, from one matching.

Letters: K classes, T thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .matching import NO_OBJECT, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""
_MOST_PER_PICTURE = 100  # boxes of a class in a picture that COCO looks at, best first


class ConfidenceCurve(NamedTuple):
    """What each threshold gives, over all classes together; all (T,) float64 and of the same length, perhaps 0."""

    thresholds: np.ndarray
    """0, 0.01, 0.02, ... as long as a box has a higher score."""
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def precision_by_class(matches: Matches) -> dict[int, np.ndarray]:
    """Precision at RECALLS for each class that has objects: (101,), whose mean is the class's AP at that IoU."""
    classes = np.flatnonzero(matches.object_counts)
    return {int(class_id): _precision_at_recalls(matches, int(class_id)) for class_id in classes}


def _precision_at_recalls(matches: Matches, class_id: int) -> np.ndarray:
    """The best precision that is to be had at each recall or above; 0 where it is not reached.

    Source: COCOeval.accumulate of pycocotools.
    """
    of_class = np.flatnonzero((matches.classes == class_id) & (matches.ranks < _MOST_PER_PICTURE))
    # best score first within a picture already, for equal scores to come in COCO's order
    of_class = of_class[np.lexsort((matches.ranks[of_class], _picture_of_rows(matches)[of_class]))]
    order = of_class[np.argsort(-matches.scores[of_class], kind="stable")]
    right = np.cumsum(matches.objects[order] != NO_OBJECT)
    precision = right / np.arange(1, len(order) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    first_at_recall = np.searchsorted(right / matches.object_counts[class_id], RECALLS, side="left")
    return np.append(best_from_here, 0.0)[first_at_recall]


def _picture_of_rows(matches: Matches) -> np.ndarray:
    return np.repeat(np.arange(len(matches.starts) - 1), np.diff(matches.starts))


def confidence_curve(matches: Matches) -> ConfidenceCurve:
    """Precision, recall and F1 for thresholds in steps of 0.01."""
    scores = np.sort(matches.scores)
    right_scores = np.sort(matches.scores[matches.objects != NO_OBJECT])
    thresholds = np.linspace(0.0, 1.0, 101)
    thresholds = thresholds[thresholds < (scores[-1] if len(scores) else 0.0)]
    found = len(scores) - np.searchsorted(scores, thresholds, side="right")
    right = len(right_scores) - np.searchsorted(right_scores, thresholds, side="right")
    objects = int(matches.object_counts.sum())
    return ConfidenceCurve(thresholds, right / found, right / max(objects, 1), 2 * right / (found + objects))
