"""Which of several evaluations was the best one, and how long ago."""

from __future__ import annotations

import math
from typing import Any, Mapping

from ..evaluation.metrics import Metrics

_FIELDS = {"map50": "ap50", "map": "ap", "map75": "ap75", "mar": "ar100"}


def score_of(metrics: Metrics | None, best_metric: str) -> float:
    """The one number that stages are compared by, in [0, 1]; 0 where nothing was measured."""
    value = 0.0 if metrics is None else float(getattr(metrics, _FIELDS[best_metric]))
    return value if math.isfinite(value) else 0.0


class Patience:
    """Counts evaluations since the best one."""

    def __init__(self, patience: int) -> None:
        """
        Args:
            patience: so many evaluations without a better one are the end; 0: never.
        """
        self._patience = patience
        self._best = -1.0
        self._since = 0

    def note(self, score: float) -> None:
        self._since = 0 if score > self._best else self._since + 1
        self._best = max(self._best, score)

    @property
    def is_over(self) -> bool:
        return 0 < self._patience <= self._since

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "since": self._since}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best, self._since = state["best"], state["since"]
