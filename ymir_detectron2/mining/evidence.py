"""Evidence: what each image alone has to say, kept until all candidates are ordered together (`submodular.py`)."""

from __future__ import annotations

import logging
from typing import Any, Mapping, Sequence

import numpy as np

from ..array_text import array_to_text, text_to_array
from ..detections import Detections
from .algorithms import Algorithm
from .explanation import Explanation
from .peaks import LEAST_PROB, MAX_DIM, MOST_PEAKS, ImagePeaks, box_peaks, extract_peaks, strongest
from .scores import distinct_best_first, finite_only
from .uncertainty import explain_boxes

logger = logging.getLogger(__name__)

EXPLAINED_ABOVE = 0.1
"""Boxes with a higher score are told, also where `conf_threshold` is above: what an image may hold in which nothing is
found. A lower score is hardly in doubt: its entropy is below half a bit."""


def peaks_to_row(peaks: ImagePeaks) -> dict[str, str]:
    """Return peaks as JSON: about 770 bytes of an image with MOST_PEAKS of MAX_DIM entries."""
    return {
        "probs": array_to_text(peaks.probs), "classes": array_to_text(peaks.class_ids),
        "features": array_to_text(peaks.features),
    }  # fmt: skip


def peaks_of_row(row: Mapping[str, Any]) -> ImagePeaks:
    """Return the peaks that `peaks_to_row` was given.

    Raises:
        ValueError: the row is something else: it may come from a damaged disk.
    """
    texts = [row.get(name) for name in ("probs", "classes", "features")]
    if not all(type(text) is str for text in texts):
        raise ValueError("has no peaks")
    kinds: tuple[type[np.generic], ...] = (np.float16, np.uint16, np.int8)
    probs, class_ids, features = (text_to_array(str(text), kind) for text, kind in zip(texts, kinds))
    count = len(probs)
    if count > MOST_PEAKS or (probs < 0).any() or (probs > 1).any() or len(class_ids) != count:
        raise ValueError("has no probabilities")
    if len(features) % max(count, 1) or len(features) > count * MAX_DIM:
        raise ValueError("has no features")
    return ImagePeaks(probs, class_ids, features.reshape(count, -1) if count else features.reshape(0, 0))


def is_evidence(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of this algorithm."""
    try:
        peaks_of_row(row)
        return True
    except ValueError:
        return False


class Submodular(Algorithm):
    """See `Algorithm`. The score of an image alone is the probability of its strongest peak, in [0, 1]."""

    score_threshold_to_explain = EXPLAINED_ABOVE
    _has_warned = False

    def __init__(self, *, has_dense_outputs: bool = True, **options: Any) -> None:
        super().__init__(**options)
        if has_dense_outputs:
            self.extract = extract_peaks
        else:
            self.score_threshold = LEAST_PROB
            logger.info("the network has no score maps: candidates are ordered by their boxes, and without novelty")

    def score_tiles(
        self, names: Sequence[str], tiles: Sequence[Any], detections: Sequence[Detections], extracted: Sequence[Any]
    ) -> list[Any]:
        """Return the `ImagePeaks` of each tile; scores that are not finite numbers count as 0, with one warning."""
        peaks = [box_peaks(boxes) if one is None else one for boxes, one in zip(detections, extracted)]
        for name, one in zip(names, peaks):
            if not one.is_finite and not self._has_warned:
                self._has_warned = True
                logger.warning("%s: scores are not finite numbers; reported once; check the model", name)
        return peaks

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return the highest probability of any class, anywhere in the image; 0 without a peak."""
        return float(np.max(strongest(tile_scores).probs, initial=0.0))

    def describe_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> dict[str, Any]:
        """Return the score, and the strongest peaks of all tiles."""
        return {"score": self.score_image(name, detections, tile_scores), **peaks_to_row(strongest(tile_scores))}

    def explain_image(self, detections: Detections, evidence: Sequence[Any]) -> Explanation:
        """Return the boxes with the entropies of their scores, in bits, the most doubtful first."""
        boxes = distinct_best_first(finite_only(detections))
        bits = binary_entropy(boxes.scores)
        return explain_boxes("entropy of the box most in doubt, bits", boxes, bits, reduce=np.max)


def binary_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return (n,) float64 in [0, 1]: -p log2 p - (1 - p) log2 (1 - p) of probabilities (n,), in bits; 0 at 0 and 1."""
    pairs = np.stack([probabilities, 1.0 - probabilities]).astype(np.float64)  # (2, n)
    logarithms = np.log2(pairs, out=np.zeros_like(pairs), where=pairs > 0)
    entropy: np.ndarray = 0.0 - (pairs * logarithms).sum(axis=0)
    return entropy
