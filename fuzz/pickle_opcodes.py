"""An assembler for pickles, also for those that Python's pickler would never write.

Each function returns the opcodes that leave one value on the stack; `program` makes a whole pickle of them.
"""

from __future__ import annotations

import pickle
import struct

EMPTY_TUPLE, NONE, FALSE = pickle.EMPTY_TUPLE, pickle.NONE, pickle.NEWFALSE


def program(*values: bytes, protocol: int = 2) -> bytes:
    return pickle.PROTO + bytes([protocol]) + b"".join(values) + pickle.STOP


def number(value: int) -> bytes:
    content = pickle.encode_long(value)
    return pickle.LONG1 + struct.pack("<B", len(content)) + content


def text(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return pickle.BINUNICODE + struct.pack("<I", len(content)) + content


def data(value: bytes) -> bytes:
    return pickle.BINBYTES + struct.pack("<I", len(value)) + value


def name(module: str, qualified_name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{qualified_name}\n".encode()


def tuple_of(*values: bytes) -> bytes:
    return pickle.MARK + b"".join(values) + pickle.TUPLE


def numbers(*values: int) -> bytes:
    return tuple_of(*map(number, values))


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + pickle.REDUCE


def with_state(target: bytes, state: bytes) -> bytes:
    return target + state + pickle.BUILD


def dtype(code: str, byte_order: str = "<", *, names: bytes = NONE, flags: int = 0) -> bytes:
    """A numpy type with its state, as numpy writes it."""
    created = call(name("numpy", "dtype"), text(code), FALSE, pickle.NEWTRUE)
    rest = (NONE, names, NONE, number(-1), number(-1), number(flags))
    return with_state(created, tuple_of(number(3), text(byte_order), *rest))


def array(shape: bytes, dtype: bytes, content: bytes, module: str = "numpy.core.multiarray") -> bytes:
    created = call(name(module, "_reconstruct"), name("numpy", "ndarray"), numbers(0), data(b"b"))
    return with_state(created, tuple_of(number(1), shape, dtype, FALSE, content))


def storage(num_elements: int, key: str = "0", kind: str = "FloatStorage") -> bytes:
    """A persistent id, as torch.save writes it."""
    parts = (text("storage"), name("torch", kind), text(key), text("cpu"), number(num_elements))
    return tuple_of(*parts) + pickle.BINPERSID


def tensor(storage: bytes, offset: int, shape: bytes, strides: bytes) -> bytes:
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), storage, number(offset), shape, strides, FALSE, hooks)
