"""Precision-recall curves, and precision, recall and F1 over the score threshold, from one matching.

Letters: K classes, T thresholds, D detections of all images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .matching import Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""
_MAX_DETECTIONS = 100  # per image and class, best first, as COCO's AP: a detector that floods an image gains nothing


class ConfidenceCurve(NamedTuple):
    """Rates over all classes together at each score threshold; all (T,) float64, T may be 0."""

    thresholds: np.ndarray
    """0, 0.01, 0.02, ... as long as a detection scores higher."""
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def precision_by_class(matches: Matches) -> dict[int, np.ndarray]:
    """Compute the interpolated precision-recall curve of each class with ground truth.

    Returns:
        Class -> (101,) best precision at each of RECALLS or above, 0 where the recall is not reached; its mean is the
        AP at the IoU of the matching.

    Source: COCOeval.accumulate of pycocotools.
    """
    curves = {}
    image_index = np.repeat(np.arange(len(matches.starts) - 1), np.diff(matches.starts))  # (D,)
    for class_id in np.flatnonzero(matches.gt_counts):
        of_class = np.flatnonzero((matches.classes == class_id) & (matches.ranks < _MAX_DETECTIONS))
        # By image and rank before the stable sort by score: AP depends on the order of equal scores; this is COCO's.
        of_class = of_class[np.lexsort((matches.ranks[of_class], image_index[of_class]))]
        order = of_class[np.argsort(-matches.scores[of_class], kind="stable")]
        tp = np.cumsum(matches.is_tp[order])
        precision = tp / np.arange(1, len(order) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]  # never rises with the recall
        first_at_recall = np.searchsorted(tp / matches.gt_counts[class_id], RECALLS, side="left")
        curves[int(class_id)] = np.append(envelope, 0.0)[first_at_recall]
    return curves


def confidence_curve(matches: Matches) -> ConfidenceCurve:
    """Compute precision, recall and F1 for score thresholds in steps of 0.01."""
    scores, tp_scores = np.sort(matches.scores), np.sort(matches.scores[matches.is_tp])
    thresholds = np.linspace(0.0, 1.0, 101)
    # where nothing is detected any more there is no precision to plot
    thresholds = thresholds[thresholds < (scores[-1] if len(scores) else 0.0)]
    predicted = len(scores) - np.searchsorted(scores, thresholds, side="right")
    tp = len(tp_scores) - np.searchsorted(tp_scores, thresholds, side="right")
    labelled = int(matches.gt_counts.sum())
    return ConfidenceCurve(thresholds, tp / predicted, tp / max(labelled, 1), 2 * tp / (predicted + labelled))
