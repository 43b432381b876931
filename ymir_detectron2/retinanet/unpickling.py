"""What a pickle of weights may contain: arrays and plain containers, rebuilt by functions of our own.

The names that a pickle uses stand for the functions below, never for those that bear them: numpy's own `scalar` returns
the Python object at an address that the file spells, if it is given a type whose flags are cleared. docs/security.md
says of each name why it is harmless.
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO, Mapping

import numpy as np

from .pickle_arguments import MalformedPickleError, RefusedContentError, as_key, as_set
from .pickle_reader import Builder, PickleReader, Unbuilt

_MAX_DIMENSIONS, _MAX_ELEMENTS = 16, 2**48
_NUMBER_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
"""Kind and size in bytes of numpy's plain numbers; no objects, records, text, dates or long doubles."""
_BYTE_ORDERS = ("<", ">", "|", "=")
_TRIVIAL_STATE = (None, None, None, -1, -1, 0)
"""What the state of a plain number says about subarray, names, fields, size, alignment and flags."""


def load_pickle(file: BinaryIO, size: int) -> Any:
    """Read a pickle of arrays and plain containers, such as the `.pkl` files of the model zoo.

    Args:
        file: positioned at the pickle.
        size: bytes from there to the end of the file.

    Raises:
        RefusedContentError: it asks for anything else.
        MalformedPickleError: it is cut short or damaged.
    """
    return PickleReader(file, size, PLAIN_NAMES).load()


def are_sizes(value: Any) -> bool:
    """Return whether this is a tuple of a few whole numbers from 0 on, such as shape or strides of a tensor."""
    return (
        type(value) is tuple
        and len(value) <= _MAX_DIMENSIONS
        and all(type(size) is int and 0 <= size < _MAX_ELEMENTS for size in value)
    )


def is_shape(value: Any) -> bool:
    """Return whether this is the shape of an array, also of one that is only empty because one of its sizes is 0."""
    return are_sizes(value) and math.prod(max(size, 1) for size in value) < _MAX_ELEMENTS


class _UnbuiltDtype(Unbuilt):
    """`numpy.dtype('f4', False, True)`, whose state is its byte order."""

    def __init__(self, code: str) -> None:
        self._code = code

    def build(self, state: Any) -> np.dtype[Any]:
        if type(state) is not tuple or len(state) != 8 or not all(map(is_same, state[2:], _TRIVIAL_STATE)):
            raise RefusedContentError("a state of numpy.dtype that no plain number has")
        if not is_same(state[0], 3) or type(state[1]) is not str or state[1] not in _BYTE_ORDERS:
            raise MalformedPickleError("an unknown state of numpy.dtype")
        return np.dtype(state[1] + self._code)


class _UnbuiltArray(Unbuilt):
    """`_reconstruct(numpy.ndarray, (0,), b'b')`, whose state is everything."""

    def build(self, state: Any) -> np.ndarray:
        if type(state) is not tuple or len(state) != 5 or not is_same(state[0], 1):
            raise MalformedPickleError("an unknown state of numpy.ndarray")
        _, shape, dtype, is_fortran, content = state
        return _array(content, dtype, shape, "F" if is_fortran is True else "C")


def _dtype(code: Any, align: Any = False, copy: Any = True) -> _UnbuiltDtype:
    if type(code) is not str or code not in _NUMBER_TYPES:
        shown = repr(code[:20]) if type(code) is str else type(code).__name__
        raise RefusedContentError(f"numpy.dtype of {shown}, which is not a plain number")
    return _UnbuiltDtype(code)


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _UnbuiltArray:
    if subtype is not _NDARRAY:
        raise RefusedContentError("a subclass of numpy.ndarray")
    return _UnbuiltArray()


def _scalar(dtype: Any, content: Any) -> Any:
    return _array(content, dtype, ())[()]


def _array(content: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray:
    """Return an array over the bytes that the file holds for it, which have to be as many as it needs."""
    content = _encode(content) if type(content) is str else content  # as Python 2 writes bytes
    is_complete = isinstance(dtype, np.dtype) and is_shape(shape) and type(content) is bytes and type(order) is str
    if not is_complete or math.prod(shape) * dtype.itemsize != len(content):
        raise MalformedPickleError("an array whose content does not have the size of its shape")
    if not content:
        return np.zeros(shape, dtype.newbyteorder("="))
    if dtype.kind == "b":  # torch 1.10 adds up the bytes of a boolean tensor, which are 0 or 1 everywhere else
        array = np.frombuffer(content, np.uint8) != 0
    else:
        array = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Encode as latin1 only, which is how old protocols write bytes; other codecs can do more than that."""
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        raise RefusedContentError("_codecs.encode with anything but text and latin1")
    return text.encode("latin1")


def _mapping(items: Any = ()) -> dict[Any, Any]:
    """Build what an OrderedDict or Counter holds, from a dictionary or, as Python 2 writes it, a list of pairs."""
    pairs = list(items.items()) if type(items) is dict else items
    if type(pairs) not in (tuple, list) or not all(type(pair) in (tuple, list) and len(pair) == 2 for pair in pairs):
        raise MalformedPickleError("a mapping of something else than pairs")
    return {as_key(key): value for key, value in pairs}


def is_same(found: Any, expected: Any) -> bool:
    """Compare what a pickle holds: the type first, since comparing an array gives no truth value."""
    return type(found) is type(expected) and found == expected


_NDARRAY = object()

PLAIN_NAMES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Builder(_mapping),
    ("collections", "Counter"): Builder(_mapping),  # milestones of torch's learning rate schedules
    ("__builtin__", "bytes"): Builder(lambda: b""),  # as protocols up to 2 write no bytes at all
    ("__builtin__", "set"): Builder(as_set),
    ("builtins", "set"): Builder(as_set),
    ("_codecs", "encode"): Builder(_encode),
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Builder(_dtype),
    # before and since numpy 2
    ("numpy.core.multiarray", "_reconstruct"): Builder(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): Builder(_reconstruct),
    ("numpy.core.multiarray", "scalar"): Builder(_scalar),
    ("numpy._core.multiarray", "scalar"): Builder(_scalar),
    ("numpy.core.numeric", "_frombuffer"): Builder(_array),  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): Builder(_array),
}
