"""A running mean of the weights, which is often a better model than the weights of any one step."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping

import torch
from torch import nn


class WeightAverage:
    """The exponential mean of all weights and running statistics of a model, on its device."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """
        Args:
            decay: how much of the mean stays at each step, in (0, 1). In the first steps it is less,
                (1 + n) / (10 + n) after n of them, so that the mean soon forgets where the run began.
        """
        self._decay = decay
        self._steps = 0
        tensors = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self._names = list(tensors)
        self._current = list(tensors.values())  # these share their memory with the model
        self._means = [value.clone() for value in self._current]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the mean."""
        keep = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_mul_(self._means, keep)
        torch._foreach_add_(self._means, self._current, alpha=1 - keep)
        self._steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block, the model has the mean in place of its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for current, mean in zip(self._current, self._means):
            kept = current.clone()
            current.copy_(mean)
            mean.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "means": dict(zip(self._names, self._means))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._steps = state["steps"]
        for name, mean in zip(self._names, self._means):
            mean.copy_(state["means"][name])
