"""Whether a state of an unfinished training can be continued, judged before it is used.

A file may be whole and hold something else: the state of other classes, of another version, or numbers that are none.
What loads it compares no shapes of momentum, broadcasts an average of one number, and keeps a text until it is used.
"""

from __future__ import annotations

import math
from typing import Any, Mapping

import torch
from torch import Tensor

_OF_THE_DEVICE = frozenset({"cuda", "scaler"})
"""Parts that a state lacks which was written on a CPU, or with another precision; the training may go on elsewhere."""

_STEP_COUNT = "step"
"""The buffer that some optimizers, such as Adam of torch 1.10, keep as a number."""


def require_like(value: Any, like: Any, name: str = "state") -> None:
    """Compare a state with one that this training would write now, which has the same parts.

    Args:
        value: plain data and tensors, as read from a file.
        like: what is compared with. An empty container stands for one with any content, None for anything.
        name: of the part, for the message.

    Raises:
        ValueError: a part is missing, of another type or shape, out of range or not finite.
    """
    if isinstance(like, Tensor):
        _require_like_tensor(value, like, name)
    elif isinstance(like, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} is {type(value).__name__}, not dict")
        for key, item in like.items():
            if value.get(key) is None and key in _OF_THE_DEVICE:
                continue
            if key not in value:
                raise ValueError(f"{name}.{key} is missing")
            require_like(value[key], item, f"{name}.{key}")
    elif isinstance(like, (list, tuple)):
        if not isinstance(value, (list, tuple)) or (like and len(value) != len(like)):
            raise ValueError(f"{name} is not a list of the right length")
        for number, (part, item) in enumerate(zip(value, like)):
            require_like(part, item, f"{name}.{number}")
    elif like is not None:
        _require_like_scalar(value, like, name)


def _require_like_tensor(value: Any, like: Tensor, name: str) -> None:
    if not isinstance(value, Tensor) or value.shape != like.shape or value.dtype != like.dtype:
        raise ValueError(f"{name} is not a tensor of {like.dtype} and shape {tuple(like.shape)}")
    if _is_finite(like) and not _is_finite(value):
        raise ValueError(f"{name} is not finite")


def _require_like_scalar(value: Any, like: Any, name: str) -> None:
    # an int will do for a float; a bool is an int of Python, but stands for no number
    if type(value) is not type(like) and not (type(like) is float and type(value) is int):
        raise ValueError(f"{name} is {type(value).__name__}, not {type(like).__name__}")
    if type(value) is float and not math.isfinite(value):
        raise ValueError(f"{name} is not finite")
    if type(value) is int and not 0 <= value < 1 << 63:  # all are counts
        raise ValueError(f"{name} is out of range")


def require_buffers_fit(buffers: Mapping[Any, Any]) -> None:
    """Check what an optimizer keeps for its parameters, such as momentum.

    Args:
        buffers: the `state` of the optimizer after loading: {parameter: {name: value}}.

    Raises:
        ValueError: a buffer has another shape than its parameter, is not finite or no tensor.
    """
    for parameter, values in buffers.items():
        if not isinstance(parameter, Tensor):  # of a parameter that this optimizer has not, and never reads
            continue
        for name, value in values.items():
            if isinstance(value, Tensor):
                # a counter of steps has no dimensions, whatever the parameter has
                is_shape = value.shape == parameter.shape or (name == "step" and not value.dim())
                if not is_shape or not _is_finite(value):
                    raise ValueError(f"{name} does not fit its parameter")
            elif value is not None and not (name == _STEP_COUNT and type(value) in (int, float)):
                raise ValueError(f"{name} is {type(value).__name__}")


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())
