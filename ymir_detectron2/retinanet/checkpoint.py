"""Weight files: read without running code, written as detectron2 reads them, loaded into a model with a report.

{"model": {"backbone.bottom_up.stem.conv1.weight": tensor, ...}, "class_names": [...], ...}
"""

from __future__ import annotations

import io
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Iterable, Mapping, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from ..atomic_file import atomic_write
from ..data_bounds import DataBoundsError, check_bounds
from ..errors import ModelError, briefly
from ..untrusted_files import is_file, open_regular
from .pickle_arguments import MalformedPickleError, RefusedContentError
from .pickle_reader import MAX_DEPTH, MAX_OPCODES, items_of
from .torch_file import MAGIC_NUMBER, load_archive, load_legacy
from .unpickling import is_same, load_pickle
from .weight_names import to_model_names

__all__ = [
    "Checkpoint", "LoadReport", "load_weights", "read_checkpoint", "read_content", "write_checkpoint", "write_content",
]  # fmt: skip

_WRAPPERS = ("model", "model_state", "state_dict", "ema_state", "model_ema", "ema", "module", "state", "blobs")
"""Keys under which programs keep the weights in a file. The first hit wins: of several, detectron2 loads `model`."""

_MAX_REASON_CHARS = 200
_PICKLE_START, _ZIP_START = b"\x80", b"PK"
_MAX_COPIES = 8
"""How many times the size of a file its numbers may have, counted at each place that refers to them."""

_BACKBONE = "backbone.bottom_up."
_OBSOLETE = ("pixel_mean", "pixel_std", "anchor_generator.")
"""Buffers in old files of detectron2; today these numbers come from the configuration."""
_COUNTER = ".num_batches_tracked"
"""Steps of a batch normalisation, which nothing reads; frozen layers of detectron2 0.6 have none."""


Shape = Tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a weight file."""

    state_dict: dict[str, Tensor]
    """Tensors on the CPU under this model's names, whoever wrote them."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Everything else in the file: class names, iteration, optimiser state; plain data and tensors."""


@dataclass(frozen=True)
class LoadReport:
    """What happened to each tensor of a file and of the model."""

    num_loaded: int
    """Tensors of the file that were copied into the model."""
    missing: tuple[str, ...]
    """Tensors of the model that the file lacks; they keep their initial values."""
    unexpected: tuple[str, ...]
    """Tensors of the file that the model has no place for."""
    misshapen: tuple[tuple[str, Shape, Shape], ...]
    """Name, shape in the file, shape in the model; they keep their initial values."""

    def table(self) -> str:
        """Return a line with the counts, then a table with a row per tensor that was not loaded."""
        rows = [("tensor", "in the file", "in the model", "")]
        rows += [(name, str(file), str(model), "keeps its initial values") for name, file, model in self.misshapen]
        rows += [(name, "-", "yes", "keeps its initial values") for name in self.missing]
        rows += [(name, "yes", "-", "not used") for name in self.unexpected]
        count = f"{self.num_loaded} tensors loaded, {len(rows) - 1} not"
        if len(rows) == 1:
            return count
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0])).rstrip() for row in rows]
        lines = [" ".join(line.splitlines()) for line in lines]  # the names are those of the file
        return "\n".join([count, *lines])


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
    tensors = {str(name): _as_tensor(value) for name, value in state.items() if _is_tensor(value)}
    metadata = {str(key): value for key, value in content.items() if wrapper and key != wrapper}
    names = metadata.get("class_names", [])
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        del metadata["class_names"]  # of a program that means something else by it
    return Checkpoint(to_model_names(tensors), metadata)


def write_checkpoint(path: Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write the weights under `model`, and `metadata` (plain data and tensors) next to them, in one step.

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
    buffer = io.BytesIO()  # torch.save turns a full disk into a RuntimeError; written here, it stays an OSError
    torch.save(dict(content), buffer)
    with atomic_write(Path(path), "wb") as file:
        file.write(buffer.getbuffer())


def read_content(path: Path) -> Any:
    """Read the plain data and tensors of a file, without running code.

    Raises:
        ModelError: no such file, a damaged one, or one that asks for code to be run.
    """
    if not is_file(path):
        raise ModelError(f"{path}: no such file; check the path of the weights")
    try:
        with open_regular(path) as file:
            content = _load(file, path)
            _require_few_copies(content, os.fstat(file.fileno()).st_size)
            return content
    except RefusedContentError as error:
        raise ModelError(
            f"{path}: asks for {error} when it is loaded, which is refused because it could run code; "
            "save the weights alone, as torch.save(model.state_dict(), path) does"
        ) from error
    except (pickle.UnpicklingError, OSError) as error:
        reason = " ".join(str(error).split())[:_MAX_REASON_CHARS]  # it may quote the file
        raise ModelError(f"{path}: is damaged or no weight file ({reason}); copy it again or give another") from error


def _load(file: BinaryIO, path: Path) -> Any:
    """Read a file by what it holds, whatever its name: torch.save has two formats, the model zoo has plain pickles."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(2)
    file.seek(0)
    if start == _ZIP_START:
        return load_archive(file, size)
    if path.suffix != ".pkl" and start[:1] != _PICKLE_START:  # tells a foreign file from a damaged one
        raise ModelError(f"{path}: is no file that torch.save wrote; give a .pth or .pkl file with weights")
    content = load_pickle(file, size)
    return load_legacy(file, size) if is_same(content, MAGIC_NUMBER) else content


def _require_few_copies(content: Any, file_bytes: int) -> None:
    """Check that copying each tensor and array of a file takes about as much memory as the file has bytes.

    Ten thousand names may refer to one array. Whoever loads them, an optimizer for example, copies it for each.

    Raises:
        MalformedPickleError: the copies would take far more.
    """
    bytes_left = _MAX_COPIES * file_bytes

    def items_counted(value: Any) -> Iterable[Any]:
        nonlocal bytes_left
        if isinstance(value, Tensor):
            bytes_left -= value.numel() * value.element_size()
        elif isinstance(value, np.ndarray):
            bytes_left -= value.nbytes
        if bytes_left < 0:
            raise DataBoundsError("it refers to the same numbers again and again")
        return items_of(value)

    try:
        check_bounds(content, items_counted, max_items=MAX_OPCODES, max_depth=MAX_DEPTH)
    except DataBoundsError as error:
        raise MalformedPickleError(str(error)) from error


def load_weights(
    model: nn.Module, state_dict: Mapping[str, Tensor], source: str = "the weights", *, backbone: str = _BACKBONE
) -> LoadReport:
    """Copy the tensors that fit into `model`; others, as of a classifier of other classes, keep their initial values.

    Args:
        model: a RetinaNet, or with another `backbone` any detector.
        state_dict: from read_checkpoint.
        source: the file, for the error.
        backbone: prefix of the names of its tensors.

    Raises:
        ModelError: not one tensor fits the backbone: these are weights of something else.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {
        name: tensor for name, tensor in state_dict.items()
        if name in shapes or not (name.startswith(_OBSOLETE) or name.endswith(_COUNTER))
    }  # fmt: skip
    # load_state_dict raises on other shapes, even where it may leave tensors out
    misshapen = tuple(
        (name, tuple(tensor.shape), shapes[name])
        for name, tensor in given.items()
        if name in shapes and tuple(tensor.shape) != shapes[name]
    )
    for name, _, _ in misshapen:
        del given[name]
    if not any(name in shapes and name.startswith(backbone) for name in given):
        expected = next(name for name in shapes if name.startswith(backbone))
        found = f"begins with {briefly(next(iter(state_dict)))}" if state_dict else "is empty"
        raise ModelError(
            f"{source}: no tensor fits the backbone, which wants {expected} {shapes[expected]}; the file {found}; "
            "give weights of a RetinaNet or ResNet of the same MODEL.RESNETS"
        )
    result = model.load_state_dict(given, strict=False)
    misshapen_names = {name for name, _, _ in misshapen}
    return LoadReport(
        num_loaded=len(given) - len(result.unexpected_keys),
        missing=tuple(
            name for name in result.missing_keys if name not in misshapen_names and not name.endswith(_COUNTER)
        ),
        unexpected=tuple(result.unexpected_keys),
        misshapen=misshapen,
    )


def _find_state(content: Any) -> tuple[Mapping[Any, Any] | None, str | None]:
    """Return the mapping of tensors, and the key of `content` that it was found under, if any."""
    if not isinstance(content, Mapping):
        return None, None
    for key in _WRAPPERS:
        state, _ = _find_state(content.get(key))  # wrappers may be nested
        if state is not None:
            return state, key
    return (content, None) if any(_is_tensor(value) for value in content.values()) else (None, None)


def _is_tensor(value: Any) -> bool:  # a .pkl holds NumPy arrays
    return isinstance(value, (Tensor, np.ndarray, np.generic))


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    array = np.array(value)  # copies: torch warns about read-only arrays, and knows no NumPy scalars
    # nor unsigned numbers above a byte, before torch 2.3
    return torch.from_numpy(array.astype(np.int64) if array.dtype.kind == "u" and array.itemsize > 1 else array)
