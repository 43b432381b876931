"""Everything that a training step changes, as plain data and tensors: to be put back after a failure or a new start."""

from __future__ import annotations

import random
from typing import Any, Mapping, Protocol

import numpy as np
import torch
from torch import Tensor, nn


class Stateful(Protocol):
    """An optimizer, a loss scaler, a mean of weights."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> Any: ...


class TrainingState:
    """Weights, what moves them, and the running number that the losses of a RetinaNet are divided by."""

    def __init__(self, model: nn.Module, parts: Mapping[str, Stateful | None]) -> None:
        """
        Args:
            parts: what else to keep, by a name of its own; None: not there in this run.
        """
        self._model = model
        self._parts = {name: part for name, part in parts.items() if part is not None}

    def capture(self) -> dict[str, Any]:
        """Copy everything into main memory."""
        captured = {name: copy_of(part.state_dict()) for name, part in self._parts.items()}
        normalizer = getattr(self._model, "loss_normalizer", None)
        return {**captured, "model": copy_of(self._model.state_dict()), "loss_normalizer": normalizer}

    def restore(self, captured: Mapping[str, Any]) -> None:
        """Put back what `capture` returned; it stays usable."""
        self._model.load_state_dict(captured["model"])
        for name, part in self._parts.items():
            part.load_state_dict(copy_of(captured[name]))  # an optimizer would go on in the very tensors
        if captured["loss_normalizer"] is not None:
            self._model.loss_normalizer = captured["loss_normalizer"]


def copy_of(value: Any) -> Any:
    """Containers and tensors anew, tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_of(item) for key, item in value.items()}
    return [copy_of(item) for item in value] if isinstance(value, (list, tuple)) else value


def random_state() -> dict[str, Any]:
    """Where the generators of torch, NumPy and Python stand in this process."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss],
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, inner, gauss_next = state["python"]
    random.setstate((version, tuple(inner), gauss_next))
