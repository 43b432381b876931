"""Weight files: read without running code, written so that detectron2 reads them.

{"model": {"backbone.bottom_up.stem.conv1.weight": tensor, ...}, "class_names": [...], ...}
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import torch
from torch import Tensor

from ..atomic_file import atomic_write
from ..errors import ModelError
from .loading import LoadReport, load_weights
from .unpickling import RefusedContentError, is_zip, load_pickle, load_torch_file
from .weight_names import to_model_names

__all__ = [
    "Checkpoint", "LoadReport", "load_weights", "read_checkpoint", "read_content", "write_checkpoint", "write_content",
]  # fmt: skip

_WRAPPERS = ("model", "model_state", "state_dict", "ema_state", "model_ema", "ema", "module", "state", "blobs")
"""Where programs keep the weights in a file, first hit wins: with both, `model` is what detectron2 loads."""

_PICKLE_START, _ZIP_START = b"\x80", b"PK"

_MALFORMED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What readers raise on bytes that mean nothing; a damaged pickle can end in any of them."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a weight file."""

    state_dict: dict[str, Tensor]
    """Tensors on the CPU under this model's names, whoever wrote them."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Everything else in the file: class names, iteration, optimiser state; plain data and tensors."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.pth` of either engine, a model-zoo or ImageNet `.pkl`, or torchvision's ResNet weights.

    Raises:
        ModelError: no such file, no checkpoint, or one that asks for code to be run.
    """
    path = Path(path)
    content = read_content(path)
    state, wrapper = _find_state(content)
    if state is None:
        raise ModelError(f"{path}: holds no weights; expected a dictionary of tensors, perhaps under the key 'model'")
    tensors = {str(name): _to_tensor(value) for name, value in state.items() if _is_tensor(value)}
    metadata = {str(key): value for key, value in content.items() if wrapper and key != wrapper}
    return Checkpoint(to_model_names(tensors), metadata)


def write_checkpoint(path: Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write the weights under `model`, and `metadata` (plain data and tensors) beside them, in one step.

    Raises:
        StorageError: the disk is full or read-only; an older file of this name is untouched.
    """
    model = {name: tensor.detach().cpu() for name, tensor in state_dict.items()}
    write_content(path, {**metadata, "model": model})


def write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data and tensors whole or not at all.

    Raises:
        StorageError: the disk is full or read-only; an older file of this name is untouched.
    """
    buffer = io.BytesIO()  # torch turns a full disk into a RuntimeError; written by us, it stays an OSError
    torch.save(dict(content), buffer)
    with atomic_write(Path(path), "wb") as file:
        file.write(buffer.getbuffer())


def read_content(path: Path) -> Any:
    """Read whatever plain data and tensors a file holds, without running code.

    Raises:
        ModelError: no such file, a damaged one, or one that asks for code to be run.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; check the path of the weights")
    try:
        if path.suffix == ".pkl" and not is_zip(path):
            return load_pickle(path)
        if not _begins_like_torch(path):
            raise ModelError(f"{path}: is no file that torch.save wrote; give a .pth or .pkl file with weights")
        return load_torch_file(path)
    except RefusedContentError as error:
        raise ModelError(
            f"{path}: asks for {error} when it is loaded, which is refused because it could run code; "
            "save the weights alone, as torch.save(model.state_dict(), path) does"
        ) from error
    except _MALFORMED as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"{path}: is damaged or no weight file ({reason}); copy it again or give another") from error


def _begins_like_torch(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(2)
    return start == _ZIP_START or start[:1] == _PICKLE_START


def _find_state(content: Any) -> tuple[Mapping[Any, Any] | None, str | None]:
    """Return the mapping of tensors, and the key of `content` that it was found under, if any."""
    if not isinstance(content, Mapping):
        return None, None
    for key in _WRAPPERS:
        state, _ = _find_state(content.get(key))
        if state is not None:
            return state, key
    return (content, None) if any(_is_tensor(value) for value in content.values()) else (None, None)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray, np.generic))


def _to_tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
