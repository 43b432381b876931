"""What a training step changes in memory, captured and restored: weights, optimizer, averages, random generators."""

from __future__ import annotations

import random
from typing import Any, Mapping, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .state_check import require_buffers_fit

_NUM_MT19937_KEYS = 624


class Stateful(Protocol):
    """An optimizer, a loss scaler, an EMA of the weights."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> None: ...


class TrainingState:
    """Everything that a training step changes in memory: weights, what updates them, normaliser of the losses."""

    def __init__(self, model: nn.Module, members: Mapping[str, Stateful | None]) -> None:
        """
        Args:
            members: optimizer and the like, by their names in the checkpoint; None: not part of this run.
        """
        self._model = model
        self._members = {name: member for name, member in members.items() if member is not None}

    def capture(self) -> dict[str, Any]:
        """Copy everything to main memory, as plain data and tensors."""
        captured = {name: copy_to_cpu(member.state_dict()) for name, member in self._members.items()}
        # RetinaNet's running mean of positive anchors; other networks have none
        normalizer = getattr(self._model, "loss_normalizer", None)
        # a float from the first step on: that of detectron2 begins as an int
        captured["loss_normalizer"] = None if normalizer is None else float(normalizer)
        return {**captured, "model": copy_to_cpu(self._model.state_dict())}

    def restore(self, captured: Mapping[str, Any]) -> None:
        """Put back what `capture` returned, which stays valid."""
        self._model.load_state_dict(captured["model"])
        for name, member in self._members.items():
            if name == "scaler" and name not in captured:
                continue  # the steps before were not in fp16: it begins with its first scale
            # a copy: on the CPU an optimizer would continue in the very tensors of the snapshot
            state = copy_to_cpu(captured[name])
            if isinstance(member, torch.optim.Optimizer):
                # its options are those of this run, whatever a file says: with `fused`, torch 2 writes into momentum of
                # any size as if it were that of the parameter
                state["param_groups"] = member.state_dict()["param_groups"]
            member.load_state_dict(state)
        if captured["loss_normalizer"] is not None:
            self._model.loss_normalizer = captured["loss_normalizer"]

    def require_sound(self) -> None:
        """Check what was restored from a file, as far as `require_like` cannot: an optimizer begins with no buffers.

        Raises:
            ValueError: the buffers of an optimizer do not fit its parameters.
        """
        for member in self._members.values():
            if isinstance(member, torch.optim.Optimizer):
                require_buffers_fit(member.state)


def copy_to_cpu(value: Any) -> Any:
    """Copy nested containers and tensors; tensors come out on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_cpu(item) for key, item in value.items()}
    return [copy_to_cpu(item) for item in value] if isinstance(value, (list, tuple)) else value


def random_state() -> dict[str, Any]:
    """Return the states of the random generators of torch, NumPy and Python in this process."""
    # tensors and plain data: checkpoints are read by an unpickler that runs no code, not even NumPy's
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss],
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned.

    Raises:
        ValueError and others: the state is something else; see `restoring`.
    """
    keys, position, has_gauss, gauss = state["numpy"]
    # NumPy checks neither, and would read its next number wherever the position leads
    if tuple(keys.shape) != (_NUM_MT19937_KEYS,) or not 0 <= position <= _NUM_MT19937_KEYS:
        raise ValueError("the state of NumPy's random generator is out of range")
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, inner, gauss_next = state["python"]
    random.setstate((version, tuple(inner), gauss_next))
