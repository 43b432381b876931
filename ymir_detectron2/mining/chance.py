"""Chance: any picture is as good as another. What every other algorithm has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from .name_seed import uniform_for

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels, ReadDense


class Chance:
    """See `Algorithm`. Scores in [0, 1), equally likely all over."""

    read: ReadDense | None = None

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """Nothing: the name decides."""
        return [None] * len(names)

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """From SHA-256 of the seed and the base name; `found` and `values` count nowhere."""
        return uniform_for(name, self._seed)
