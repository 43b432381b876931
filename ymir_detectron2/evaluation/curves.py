"""Precision, recall and F1 over the score threshold, from the matching of a set.

Letters: T thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .matching import Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""


class ConfidenceCurve(NamedTuple):
    """Rates over all classes together at each score threshold; all (T,) float64, T may be 0."""

    thresholds: np.ndarray
    """0, 0.01, 0.02, ... as long as a detection scores higher."""
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


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
