"""CALD: score a picture by how consistently its objects are found again in four altered views of it.

The definition is in docs/mining.md, the arithmetic in `scores.py`, the way of the pictures in `view_comparison.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .augmentations import AUGMENTATIONS
from .scores import consistency, distinct_best_first, evenly_thinned
from .view_comparison import Detect, ViewComparison

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels, ReadDense

NOTHING_FOUND = 0.0
"""The score of a picture without detections. It is the highest there is: such pictures are mined first."""


class Cald:
    """See `Algorithm`. Scores in [-1, 0]."""

    read: ReadDense | None = None

    def __init__(self, detect: Detect, *, seed: int = 0) -> None:
        """
        Args:
            detect: finds boxes in pictures as they are; called once per augmentation and chunk.
            seed: changes where holes are cut, nothing else.
        """
        self._comparison = ViewComparison(
            detect, augmentations=AUGMENTATIONS, select=_reference_boxes, compare=consistency, seed=seed
        )

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """The consistencies (4,) of each part, one per view; None where nothing is found."""
        return list(self._comparison.values(names, parts, found))

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """-(mean over the views of the least consistency over the parts), or NOTHING_FOUND."""
        compared = [value for value in values if value is not None]
        if not compared:
            return NOTHING_FOUND
        least = np.min(compared, axis=0)  # (4,)
        return 0.0 - float(np.mean(least))  # 0.0 - 0.0 is 0.0, while -(0.0) prints as -0.0


def _reference_boxes(detections: Detections) -> Detections:
    return evenly_thinned(distinct_best_first(detections))
