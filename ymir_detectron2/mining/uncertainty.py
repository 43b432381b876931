"""Uncertainty of the predicted classes: entropy of all boxes of an image, or the margin of its most doubtful box.

Letters: n boxes, K classes.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from ..detections import Detections
from .algorithms import Algorithm
from .explanation import WHOLE_IMAGE, ExplainedBox, Explanation
from .scores import distinct_best_first, finite_only

CLASSES_EXPLAINED = 3
"""Of each box, the most probable ones."""


class Entropy(Algorithm):
    """See `Algorithm`. Scores are not negative: 0 without detections, growing with the number of boxes."""

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return the `total_entropy` of the boxes of the image."""
        return total_entropy(detections)

    def explain_image(self, detections: Detections, evidence: Sequence[Any]) -> Explanation:
        """Return the boxes with their entropies, in bits."""
        boxes = distinct_best_first(finite_only(detections))
        return explain_boxes("entropy of all boxes, bits", boxes, entropies(boxes).sum(axis=1), reduce=np.sum)


class Margin(Algorithm):
    """See `Algorithm`. Scores in [0, 1]; 0 without detections."""

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return the largest of the `margin_uncertainties`, or 0."""
        # no need to drop copies of boxes, as for the entropy: they do not change a maximum
        return float(np.max(margin_uncertainties(finite_only(detections)), initial=0.0))

    def explain_image(self, detections: Detections, evidence: Sequence[Any]) -> Explanation:
        """Return the boxes with their uncertainties, the one that decided first."""
        boxes = finite_only(detections)
        return explain_boxes("uncertainty of the most doubtful box", boxes, margin_uncertainties(boxes), reduce=np.max)


def total_entropy(detections: Detections) -> float:
    """Return the sum over boxes i and classes k of -p_ik log2 p_ik, in bits, 0 log 0 = 0; 0.0 without boxes.

    Without `class_probs` the score is the only probability of a box, as in the YMIR executors. Exact copies of a box
    count once; boxes with NaN or infinite numbers do not count.

    Source: `conf * log2(conf)` of the YMIR executor det-mmyolo-tmi, over the classes; the idea from Joshi et al.,
        Multi-class active learning for image classification, CVPR 2009.
    """
    return float(np.sum(entropies(distinct_best_first(finite_only(detections)))))


def entropies(detections: Detections) -> np.ndarray:
    """Return (n, K) float64: -p log2 p of each box and class, in bits."""
    probs = class_probabilities(detections)
    logarithms = np.log2(probs, out=np.zeros_like(probs), where=probs > 0)
    terms: np.ndarray = 0.0 - probs * logarithms  # 0.0 - 0.0 is 0.0, while -(0.0) prints as -0.0
    return terms


def margin_uncertainties(detections: Detections) -> np.ndarray:
    """Return (n,) in [0, 1]: (1 - (p1 - p2))^2, p1 and p2 the two largest of the K class probabilities and the
    background.

    Source: "1-vs-2" with the maximum over boxes, Brust et al., Active Learning for Deep Object Detection,
        arXiv 1809.09875; there the background is a class of the network.
    """
    probs = class_probabilities(detections)
    # RetinaNet's sigmoids have no background class, and without one a single class would have no rival
    background = 1.0 - np.max(probs, axis=1, initial=0.0)
    candidates = np.sort(np.column_stack([probs, background]), axis=1)  # (n, K + 1), the largest last
    uncertainties: np.ndarray = (1.0 - (candidates[:, -1] - candidates[:, -2])) ** 2
    return uncertainties


def class_probabilities(detections: Detections) -> np.ndarray:
    """Return (n, K) float64; (n, 1) of the scores where the detector does not predict the other classes."""
    probs = detections.scores[:, None] if detections.class_probs is None else detections.class_probs
    return np.asarray(probs, dtype=np.float64)


def explain_boxes(
    fact: str, boxes: Detections, values: np.ndarray, *, reduce: Callable[[np.ndarray], float]
) -> Explanation:
    """Return the explanation of a score that is made of one value per box.

    Args:
        fact: what the score is.
        boxes: n finite detections, in pixels of the image.
        values: (n,), of which `reduce` makes the score.
    """
    if not len(boxes):
        return Explanation()
    probs = class_probabilities(boxes)
    listed = [
        ExplainedBox(
            np.asarray(boxes.boxes_xyxy[index], dtype=np.float64), WHOLE_IMAGE, int(boxes.classes[index]),
            float(boxes.scores[index]), float(values[index]), class_probs=_most_probable(probs[index]),
        )
        for index in np.argsort(-values, kind="stable")
    ]  # fmt: skip
    return Explanation([(fact, float(reduce(values)))], listed)


def _most_probable(probs: np.ndarray) -> list[tuple[int, float]]:
    """(K,) -> the most probable classes; [] where the detector has one probability per box."""
    if len(probs) == 1:
        return []
    best = np.argsort(-probs, kind="stable")[:CLASSES_EXPLAINED]
    return [(int(class_id), float(probs[class_id])) for class_id in best]
