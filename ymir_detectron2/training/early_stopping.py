"""Early stopping: end a training whose evaluations no longer improve.

`best_metric` names the metric that decides, here and for the best stage of result.yaml.
"""

from __future__ import annotations

import math
from typing import Any, Mapping

from ..evaluation.metrics import Metrics

_METRIC_FIELDS = {"map50": "ap50", "map": "ap", "map75": "ap75", "mar": "ar100"}


def metric_value(metrics: Metrics | None, best_metric: str) -> float:
    """Return the value of `best_metric`, in [0, 1], by which stages are compared; 0 without an evaluation."""
    value = 0.0 if metrics is None else float(getattr(metrics, _METRIC_FIELDS[best_metric]))
    # NaN is neither better nor worse than any other value: the order of the stages would decide
    return value if math.isfinite(value) else 0.0


class EarlyStopping:
    """Stop after `patience` evaluations in a row that are no better than the best one before."""

    def __init__(self, patience: int) -> None:
        """
        Args:
            patience: 0 never stops.
        """
        self._patience = patience
        self._best = -1.0  # below every metric: a first evaluation with AP 0 is an improvement
        self._evaluations_since_best = 0

    def update(self, value: float) -> None:
        """Count one more evaluation; an equal value is no improvement."""
        self._evaluations_since_best = 0 if value > self._best else self._evaluations_since_best + 1
        self._best = max(self._best, value)

    @property
    def should_stop(self) -> bool:
        return 0 < self._patience <= self._evaluations_since_best

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "since": self._evaluations_since_best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best, self._evaluations_since_best = state["best"], state["since"]
