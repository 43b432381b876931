"""Losses and metrics over the steps of a training, in a bounded number of points however long the training is."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

MAX_POINTS = 1000


class LossCurve(NamedTuple):
    """Values of one loss or metric; steps rise, values may be NaN."""

    steps: Sequence[float]
    values: Sequence[float]


class LossHistory:
    """Record losses by step: every step at first, then every second, every fourth, and so on."""

    def __init__(self) -> None:
        self._seen = 0
        self._every = 1
        self._points: list[tuple[int, dict[str, float]]] = []

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """Record the losses of a step, which must be later than all before it."""
        if self._seen % self._every == 0:
            self._points.append((step, dict(losses)))
        self._seen += 1
        if len(self._points) > MAX_POINTS:
            # thinned from the first step on, so that the same steps stay whether or not the training was resumed
            self._points = self._points[::2]
            self._every *= 2

    def curves(self) -> dict[str, LossCurve]:
        """Return a curve for each loss, in the order in which the losses first appeared."""
        columns: dict[str, tuple[list[float], list[float]]] = {}
        for step, losses in self._points:
            for name, value in losses.items():
                steps, values = columns.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
        return {name: LossCurve(*pair) for name, pair in columns.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold, in plain Python types."""
        return {"seen": self._seen, "every": self._every, "points": list(self._points)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            ValueError, TypeError: it is something else.
        """
        points = [(int(step), {str(name): float(loss) for name, loss in losses.items()})
                  for step, losses in state["points"]]  # fmt: skip
        if not points == sorted(points, key=lambda point: point[0]) or state["every"] < 1:
            raise ValueError("the points of a loss curve are damaged")
        self._seen, self._every, self._points = state["seen"], state["every"], points
