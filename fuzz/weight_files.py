"""Weight files: pickles of opcodes that fit each other often enough to get far, alone and in the formats of torch."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import torch

from ymir_detectron2.errors import ModelError
from ymir_detectron2.retinanet.checkpoint import read_checkpoint, read_content
from ymir_detectron2.retinanet.torch_file import MAGIC_NUMBER

from . import pickle_opcodes as op
from .mutation import damaged

EXPECTED = (ModelError,)
"""What the reader may raise."""

_NUMBERS = (-(2**63), -1, 0, 1, 2, 3, 4, 7, 16, 100, 2**31 - 1, 2**40, 2**62, 2**63, 2**200)
_WORDS = ("model", "storage", "0", "cpu", "O8", "f4", "V16", "S1", "M8", "<", "|", "latin1", "a\nb", "\ud800", "é" * 9)
_NAMES = (
    ("collections", "OrderedDict"), ("collections", "Counter"), ("__builtin__", "set"), ("_codecs", "encode"),
    ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"), ("torch", "Size"),
    ("torch", "device"), ("torch", "float32"), ("torch", "FloatStorage"), ("torch", "BoolStorage"),
    ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"), ("builtins", "eval"),
    ("torch.storage", "UntypedStorage"), ("torch._utils", "_rebuild_qtensor"), ("numpy", "frombuffer"),
)  # fmt: skip
_DTYPES = ("b1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8", "O8", "V8", "U4", "M8", "f16")
_STORAGES = ("FloatStorage", "BoolStorage", "ByteStorage", "LongStorage", "HalfStorage", "ComplexFloatStorage")
_STORAGE_BYTES = (64, 16, 16)
"""Of the storages 0, 1 and 2, each with 16 elements of the first types of _STORAGES."""
_OPCODES = tuple(
    value for key, value in vars(pickle).items() if key.isupper() and isinstance(value, bytes) and len(value) == 1
)


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one weight file below `folder`."""
    kind = rng.choice((_as_it_is, _archive, _legacy))
    grammar = _Grammar(rng, oddity=rng.choice((0.0, 0.002, 0.01, 0.05)), has_storages=kind is not _as_it_is)
    program = _damaged(op.program(grammar.weights(), protocol=rng.randrange(6)), rng)
    path = folder / rng.choice(("a.pkl", "a.pth"))
    path.write_bytes(damaged(kind(program, rng), rng, 0.07))
    return path


def read(path: Path) -> None:
    """Read a file as tasks do, and touch every number in it."""
    _touch(read_content(path))
    checkpoint = read_checkpoint(path)
    _touch(checkpoint.state_dict)
    _touch(checkpoint.metadata)


def _touch(value: Any) -> None:
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        np.asarray(value.to(torch.complex128) if isinstance(value, torch.Tensor) else value).sum()
        repr(value)
    elif isinstance(value, dict):
        for item in (*value.keys(), *value.values()):
            _touch(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            _touch(item)


class _Grammar:
    """Values that are mostly well formed; with a probability, the oddity, each part of one is anything else."""

    def __init__(self, rng: random.Random, oddity: float, *, has_storages: bool) -> None:
        self._rng = rng
        self._oddity = oddity
        self._has_storages = has_storages
        self._num_memo = 0

    def weights(self) -> bytes:
        names = ("model", "optimizer", "iteration", "blobs", "backbone.bottom_up.stem.conv1.weight")
        pairs = [op.text(self._rng.choice(names)) + self._value(0) for _ in range(self._rng.randrange(1, 5))]
        first = op.text("weight") + self._array_or_tensor(1)
        return self._or_odd(pickle.EMPTY_DICT, 0) + pickle.MARK + first + b"".join(pairs) + pickle.SETITEMS

    def _value(self, depth: int) -> bytes:
        if self._is_odd():
            return self._odd(depth + 1)
        rules: tuple[Callable[[int], bytes], ...] = (
            self._array_or_tensor, self._scalar, self._container, self._container, self._from_memo, self._leaf
        )
        return self._rng.choice(rules if depth < 5 else (self._leaf,))(depth + 1)

    def _is_odd(self) -> bool:
        return self._rng.random() < self._oddity

    def _odd(self, depth: int) -> bytes:
        if depth > 8 or self._rng.random() < 0.3:
            return self._rng.choice((
                op.name(*self._rng.choice(_NAMES)), op.number(self._rng.choice(_NUMBERS)),
                op.text(self._rng.choice(_WORDS)), op.data(b"\x02" * self._rng.randrange(99)), self._leaf(depth),
                op.storage(self._rng.choice(_NUMBERS), "0", self._rng.choice(_STORAGES)),
            ))  # fmt: skip
        if self._rng.random() < 0.3:
            return op.with_state(self._value(depth), self._value(depth))
        if self._rng.random() < 0.3:
            return self._value(depth)
        arguments = [self._value(depth) for _ in range(self._rng.randrange(5))]
        opcode = self._rng.choice((pickle.REDUCE, pickle.REDUCE, pickle.NEWOBJ))
        return self._or_odd(op.name(*self._rng.choice(_NAMES)), depth) + op.tuple_of(*arguments) + opcode

    def _or_odd(self, wanted: bytes, depth: int) -> bytes:
        return self._odd(depth + 1) if self._is_odd() else wanted

    def _one_of(self, usual: Sequence[Any], odd: Sequence[Any]) -> Any:
        return self._rng.choice(odd if self._is_odd() else usual)

    def _leaf(self, depth: int) -> bytes:
        return self._rng.choice((
            op.NONE, op.FALSE, op.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET,
            op.number(self._rng.choice(_NUMBERS)), op.text(self._rng.choice(_WORDS)), op.data(b"A" * 8),
            pickle.BINFLOAT + struct.pack(">d", self._rng.choice((0.0, float("nan"), 1e308))),
        ))  # fmt: skip

    def _container(self, depth: int) -> bytes:
        items = [self._value(depth) for _ in range(self._rng.randrange(4))]
        body = pickle.MARK + b"".join(items)
        pairs = pickle.MARK + b"".join(
            self._or_odd(op.text(self._rng.choice(_WORDS)), depth) + item for item in items
        )
        mapping = self._or_odd(op.call(op.name("collections", "OrderedDict")), depth)
        return self._rng.choice((
            pickle.EMPTY_DICT + pairs + pickle.SETITEMS, mapping + pairs + pickle.SETITEMS, pairs + pickle.DICT,
            op.with_state(mapping, self._leaf(depth)), body + pickle.TUPLE, body + pickle.LIST,
            self._or_odd(pickle.EMPTY_LIST, depth) + body + pickle.APPENDS,
            self._or_odd(pickle.EMPTY_SET, depth) + pickle.MARK + self._or_odd(op.number(7), depth) + pickle.ADDITEMS,
        ))  # fmt: skip

    def _dtype(self, code: str, depth: int) -> bytes:
        names, flags = self._or_odd(op.NONE, depth), self._one_of((0,), (63, -1, 8))
        byte_order = self._one_of("<>=|", ("", "<f", "O"))
        return self._or_odd(op.dtype(self._one_of((code,), _DTYPES), byte_order, names=names, flags=flags), depth)

    def _array_or_tensor(self, depth: int) -> bytes:
        if self._has_storages and self._rng.random() < 0.7:
            return self._tensor(depth)
        code = self._rng.choice(_DTYPES[:9])
        shape = [self._rng.choice((0, 1, 2, 3)) for _ in range(self._rng.randrange(4))]
        content = bytes([self._rng.choice((0, 1, 65, 255))]) * int(np.prod(shape) * np.dtype(code).itemsize)
        shape += [self._rng.choice(_NUMBERS)] * self._is_odd()
        sizes, stored = self._or_odd(op.numbers(*shape), depth), self._or_odd(op.data(content), depth)
        module = self._rng.choice(("numpy.core.multiarray", "numpy._core.multiarray"))
        return op.array(sizes, self._dtype(code, depth), stored, module)

    def _scalar(self, depth: int) -> bytes:
        code = self._rng.choice(_DTYPES[:9])
        content = self._or_odd(op.data(b"A" * np.dtype(code).itemsize), depth)
        return op.call(op.name("numpy.core.multiarray", "scalar"), self._dtype(code, depth), content)

    def _tensor(self, depth: int) -> bytes:
        shape = [self._one_of((0, 1, 2), _NUMBERS) for _ in range(self._rng.randrange(4))]
        strides = [self._one_of((0, 1, 2), _NUMBERS) for _ in shape]
        key = self._rng.choice("012")
        # the type and size that the file really has, see _archive
        kind, size = self._one_of(tuple(zip(_STORAGES, (16,) * 6))[int(key) : int(key) + 1], (("BoolStorage", 2**40),))
        stored = self._or_odd(op.storage(self._one_of((size,), _NUMBERS), key, kind), depth)
        sizes = self._or_odd(op.numbers(*shape), depth), self._or_odd(op.numbers(*strides), depth)
        return op.tensor(stored, self._one_of((0, 1, 2), _NUMBERS), *sizes)

    def _from_memo(self, depth: int) -> bytes:
        if self._num_memo and self._rng.random() < 0.7:
            return pickle.BINGET + bytes([self._rng.randrange(self._num_memo)])
        value = self._value(depth)
        self._num_memo = min(self._num_memo + 1, 255)
        return value + pickle.BINPUT + bytes([self._num_memo - 1])


def _damaged(program: bytes, rng: random.Random) -> bytes:
    """Insert, remove or repeat opcodes, in one of seven programs."""
    while program and rng.random() < 0.15:
        place = rng.randrange(len(program))
        change = rng.choice(("insert", "remove", "repeat", "cut"))
        inserted = rng.choice(_OPCODES) if change == "insert" else program[place : place + 9] * (change == "repeat")
        program = program[:place] + inserted + (b"" if change == "cut" else program[place + (change == "remove") :])
    return program


def _as_it_is(program: bytes, rng: random.Random) -> bytes:
    return program


def _archive(program: bytes, rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if rng.random() < 0.03 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"big" if rng.random() < 0.03 else b"little")
        for key, size in enumerate(_STORAGE_BYTES):
            archive.writestr(f"archive/data/{key}", rng.choice((b"\x02", b"\xff")) * size)
    return buffer.getvalue()


def _legacy(program: bytes, rng: random.Random) -> bytes:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(part, protocol=2) for part in (MAGIC_NUMBER, 1001, machine))
    # those that the program refers to, as far as can be told without running it
    keys = [key for key in "012" if op.text(key) + op.text("cpu") in program]
    keys = rng.sample("012", 2) if rng.random() < 0.1 else keys
    count = 2**40 if rng.random() < 0.03 else 16
    tail = b"".join(struct.pack("<q", count) + b"\xff" * _STORAGE_BYTES[int(key)] for key in keys)
    return head + program + pickle.dumps(keys, protocol=2) + tail
