"""Restricted unpickling: read arrays, tensors and plain containers without running the code that a pickle may name.

A pickle is a program: it may call any importable function. This reader resolves only the few names that rebuild
arrays, tensors and plain containers, and sets the state of nothing else.
"""

from __future__ import annotations

import collections
import inspect
import pickle
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any, Callable, ClassVar

import numpy as np
import torch

_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2


def _allowed_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    }
    for module in _NUMPY_MODULES:
        # taken from NumPy's own pickles: importing these private functions would depend on its version
        names[(module, "_reconstruct")] = np.empty(0).__reduce__()[0]
        names[(module, "scalar")] = np.float64(0).__reduce__()[0]
    for name, value in vars(torch).items():
        is_storage = isinstance(value, type) and name.endswith("Storage")
        if is_storage or isinstance(value, torch.dtype):
            names[("torch", name)] = value
    return names


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Replace codecs.encode, by which old protocols write bytes, always in latin1; other codecs could do more."""
    if encoding != "latin1":
        raise RefusedContentError(f"_codecs.encode with {encoding}")
    return text.encode("latin1")


class RefusedContentError(pickle.UnpicklingError):
    """The pickle asks for something beyond arrays, tensors and plain containers; the text names it."""


class RestrictedUnpickler(pickle._Unpickler):
    """Python's unpickler without its two ways to run code: looking up names, and setting the state of objects.

    The pure Python one, since the C implementation has no hook for the second.
    """

    _NAMES = _allowed_names()
    dispatch: ClassVar[dict[int, Callable[..., Any]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the allowed callables."""
        try:
            return self._NAMES[(module, name)]
        except KeyError:
            raise RefusedContentError(f"{module}.{name}") from None

    def load_build(self) -> None:
        """Set the state of arrays and dictionaries; on a function or class this could plant code."""
        target = self.stack[-2]  # type: ignore[attr-defined]
        if not isinstance(target, (np.ndarray, np.dtype, collections.OrderedDict)):
            raise RefusedContentError(f"the state of a {type(target).__name__}")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = load_build


class RestrictedPickle:
    """The members that torch.load uses of its `pickle_module`."""

    Unpickler = RestrictedUnpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file: IO[bytes], **options: Any) -> Any:
        return RestrictedUnpickler(file, **options).load()


def load_pickle(path: Path) -> Any:
    """Read a pickle of arrays; text of Python 2, as in Caffe2's files, is decoded as latin1."""
    with path.open("rb") as file:
        return RestrictedPickle.load(file, encoding="latin1")


def load_torch_file(path: Path) -> Any:
    """Read a file of torch.save onto the CPU: with torch's own safe reader where it has one, else with this one."""
    _refuse_archives(path)
    # torch before 1.13 has no safe reader
    if "weights_only" not in inspect.signature(torch.load).parameters:
        return torch.load(path, map_location="cpu", pickle_module=RestrictedPickle)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about newer pickle protocols, which it then reads
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's reader also refuses numpy numbers, which detectron2's trainer keeps next to the weights
        return torch.load(path, map_location="cpu", pickle_module=RestrictedPickle, weights_only=False)


def is_zip(path: Path) -> bool:
    """Return whether torch 1.6 or later wrote this file, whatever its name."""
    return zipfile.is_zipfile(path)


def _refuse_archives(path: Path) -> None:
    """TorchScript programs are code, and tar archives are older than every weight file of detectron2."""
    names: list[str] = []
    if is_zip(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    elif tarfile.is_tarfile(path):
        raise RefusedContentError("a tar archive")
    # torch.load would pass such a file on to torch.jit.load
    if any(name.endswith("/constants.pkl") for name in names):
        raise RefusedContentError("a TorchScript program")
