"""The random baseline: any image is as good as another. Every other algorithm has to beat it."""

from __future__ import annotations

from typing import Any, Sequence

from ..detections import Detections
from .algorithms import Algorithm
from .seeding import uniform_for


class RandomBaseline(Algorithm):
    """See `Algorithm`. Scores are uniform in [0, 1)."""

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return a number from the random seed and the base name only: images need not even be opened."""
        return uniform_for(name, self.seed)
