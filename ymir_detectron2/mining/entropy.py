"""Entropy: a picture is worth labelling for all the doubt about all the boxes in it.

Letters: n boxes, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .scores import distinct_best_first, finite_only

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels, ReadDense


class Entropy:
    """See `Algorithm`. Scores are not negative: 0 where nothing is found, growing with the number of boxes."""

    read: ReadDense | None = None

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """Nothing: the boxes of the whole picture are enough."""
        return [None] * len(names)

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """`total_entropy` of the boxes of the picture."""
        return total_entropy(found)


def total_entropy(detections: Detections) -> float:
    """Sum over boxes i and classes k of -p_ik log2 p_ik, in bits, 0 log 0 = 0; 0.0 without boxes.

    Without `class_probs` the score is the only probability of a box, as in the YMIR executors. Exact copies of a box
    count once; boxes with NaN or infinite numbers do not count.

    Source: `conf * log2(conf)` of the YMIR executor det-mmyolo-tmi, over the classes; the idea from Joshi et al.,
        Multi-class active learning for image classification, CVPR 2009.
    """
    probs = class_probabilities(distinct_best_first(finite_only(detections)))
    logarithms = np.log2(probs, out=np.zeros_like(probs), where=probs > 0)
    return 0.0 - float(np.sum(probs * logarithms))  # 0.0 - 0.0 is 0.0, while -(0.0) prints as -0.0


def class_probabilities(detections: Detections) -> np.ndarray:
    """(n, K) float64; (n, 1) of the scores where the detector says nothing about the other classes."""
    probs = detections.scores[:, None] if detections.class_probs is None else detections.class_probs
    return np.asarray(probs, dtype=np.float64)
