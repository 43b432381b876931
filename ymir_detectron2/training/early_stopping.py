"""Early stopping: find the evaluation from which on a training no longer improves.

`best_metric` names the metric that decides, here and for the best stage of result.yaml. What follows is in
end_of_training.py: the learning rate decays, and the training ends.
"""

from __future__ import annotations

import math
import statistics
from typing import Any, Mapping

from ..evaluation.metrics import Metrics

_METRIC_FIELDS = {"map50": "ap50", "map": "ap", "map75": "ap75", "mar": "ar100"}
MIN_DELTA = 0.005
"""A smaller rise is none: half a point of AP is less than what two seeds differ by."""
SMOOTHED_OVER = 3
"""Evaluations of which the mean is judged: on few validation images AP goes up and down, and a single lucky evaluation
would be the best for long."""
FOUND_SOMETHING = 0.05
"""Below it a training has not found its objects yet, which is no plateau."""
_TIMES_PATIENCE_BEFORE = 3


def metric_value(metrics: Metrics | None, best_metric: str) -> float:
    """Return the value of `best_metric`, in [0, 1], by which stages are compared; 0 without an evaluation."""
    value = 0.0 if metrics is None else float(getattr(metrics, _METRIC_FIELDS[best_metric]))
    # NaN is neither better nor worse than any other value: the order of the stages would decide
    return value if math.isfinite(value) else 0.0


class EarlyStopping:
    """Find a plateau: `patience` evaluations in a row in which the smoothed metric has not risen.

    It has risen where the mean of the last three evaluations is `MIN_DELTA` above the best such mean before: a slow but
    steady rise adds up, and is none only if it is too small over the whole patience.
    """

    def __init__(self, patience: int) -> None:
        """
        Args:
            patience: 0 finds none.
        """
        self._patience = patience
        self._recent: list[float] = []
        self._best = -1.0  # below every metric: a first evaluation with AP 0 is an improvement
        self.evaluations_since_best = 0
        """Since the smoothed metric has risen last."""

    def update(self, value: float) -> None:
        """Count one more evaluation."""
        self._recent = [*self._recent, value][-SMOOTHED_OVER:]
        if self.smoothed >= self._best + MIN_DELTA:
            self._best, self.evaluations_since_best = self.smoothed, 0
        else:
            self.evaluations_since_best += 1

    @property
    def smoothed(self) -> float:
        """The mean of the metric over the latest evaluations; 0 before the first one."""
        return statistics.fmean(self._recent) if self._recent else 0.0

    @property
    def is_on_plateau(self) -> bool:
        times = 1 if self.smoothed >= FOUND_SOMETHING else _TIMES_PATIENCE_BEFORE
        return 0 < self._patience * times <= self.evaluations_since_best

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "since": self.evaluations_since_best, "recent": list(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue what `state_dict` returned.

        Raises:
            ValueError: the recent evaluations are none; the other parts are checked by `require_like`.
        """
        recent = [float(value) for value in state["recent"]]
        if len(recent) > SMOOTHED_OVER or not all(0 <= value <= 1 for value in recent):
            raise ValueError("the latest evaluations are out of range")
        self._recent, self._best, self.evaluations_since_best = recent, state["best"], state["since"]
