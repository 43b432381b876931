"""Margin: a picture is worth labelling for the box in it whose two likeliest classes are hardest to tell apart.

Letters: n boxes, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .entropy import class_probabilities
from .scores import finite_only

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels, ReadDense


class Margin:
    """See `Algorithm`. Scores in [0, 1]; 0 where nothing is found."""

    read: ReadDense | None = None

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """Nothing: the boxes of the whole picture are enough."""
        return [None] * len(names)

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """The largest of `margin_uncertainties`, or 0."""
        return float(np.max(margin_uncertainties(finite_only(found)), initial=0.0))


def margin_uncertainties(detections: Detections) -> np.ndarray:
    """(n,) in [0, 1]: (1 - (p1 - p2))^2, p1 and p2 the two largest of the K class probabilities and the background.

    The background has 1 - max p: RetinaNet's sigmoids do not know it, and a single class would have no rival.

    Source: "1-vs-2" with the maximum over boxes, Brust et al., Active Learning for Deep Object Detection,
        arXiv 1809.09875; there the background is a class of the network.
    """
    probs = class_probabilities(detections)
    background = 1.0 - np.max(probs, axis=1, initial=0.0)
    candidates = np.sort(np.column_stack([probs, background]), axis=1)  # (n, K + 1), the largest last
    uncertainties: np.ndarray = (1.0 - (candidates[:, -1] - candidates[:, -2])) ** 2
    return uncertainties
