"""Exponential moving average (EMA) of the weights, which is often a better model than the weights of the last step."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping

import torch
from torch import nn


class ModelEma:
    """EMA of all weights and running statistics of a model, on its device; integer counters are left out."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """
        Args:
            decay: weight of the old average at each update, in (0, 1), e.g. 0.999.
        """
        self._decay = decay
        self._num_updates = 0
        tensors = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self._names = list(tensors)
        self._weights = list(tensors.values())  # no copies: they share their memory with the model
        self._averages = [value.clone() for value in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Include the weights of one more step."""
        # smaller at first, as in TensorFlow's ExponentialMovingAverage: else a short run would mostly average its start
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        # a few kernels for all tensors instead of two for each
        torch._foreach_mul_(self._averages, decay)
        torch._foreach_add_(self._averages, self._weights, alpha=1 - decay)
        self._num_updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averages in place of its weights within the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # tensor by tensor: the device needs room for one more, not for a second copy of the model
        for weight, average in zip(self._weights, self._averages):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._num_updates, "means": dict(zip(self._names, self._averages))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._num_updates = state["steps"]
        for name, average in zip(self._names, self._averages):
            average.copy_(state["means"][name])
