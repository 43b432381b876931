"""Arguments and keys of a pickle, decoded and bounded; and the errors of a pickle that is not read."""

from __future__ import annotations

import codecs
import pickle
from typing import Any, Callable, Mapping

_MAX_NUMBER_CHARS = 600  # Python's int() takes quadratic time, and no number here needs more


class MalformedPickleError(pickle.UnpicklingError):
    """The bytes are no pickle of plain data; the text says what is wrong."""


class RefusedContentError(pickle.UnpicklingError):
    """The pickle asks for something beyond arrays, tensors and plain containers; the text names it."""


def as_key(value: Any) -> Any:
    """Return a key of a dictionary, or a member of a set.

    Raises:
        RefusedContentError: any other type, a number beyond 64 bits, NaN or a tuple. Hashing of nested tuples overflows
            the C stack; of the others, a file could list a million with one hash, which takes hours.
    """
    if type(value) in (str, bytes, bool, type(None)):
        return value
    if (type(value) is int and -(2**63) <= value < 2**63) or (type(value) is float and value == value):
        return value
    raise RefusedContentError(f"{type(value).__name__} as a key")


def as_set(items: Any) -> set[Any]:
    """Return a set of a list, as old protocols build one.

    Raises:
        MalformedPickleError: not a list.
        RefusedContentError: see `as_key`.
    """
    if type(items) is not list:
        raise MalformedPickleError("a set of something else than a list")
    return set(map(as_key, items))


def parse_int(line: bytes) -> int:
    """Return the whole number, or boolean, of a line."""
    if line in (b"00", b"01"):  # booleans of protocols 0 and 1
        return line == b"01"
    return _parse_number(line[:-1] if line.endswith(b"L") else line, int)


def _parse_float(line: bytes) -> float:
    return _parse_number(line, float)


def _parse_number(line: bytes, kind: Callable[[bytes], Any]) -> Any:
    if len(line) > _MAX_NUMBER_CHARS:
        raise MalformedPickleError(f"a number of {len(line)} characters")
    return kind(line)


def _parse_string(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b'"', b"'"):
        raise MalformedPickleError("text without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")  # type: ignore[attr-defined]


def _decode_latin1(content: bytes) -> str:
    return content.decode("latin1")


def _decode_utf8(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _decode_int(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


CONSTANTS: Mapping[bytes, Any] = {
    pickle.NONE: None, pickle.NEWTRUE: True, pickle.NEWFALSE: False, pickle.EMPTY_TUPLE: (),
}  # fmt: skip
EMPTY_CONTAINERS: Mapping[bytes, Callable[[], Any]] = {
    pickle.EMPTY_LIST: list, pickle.EMPTY_DICT: dict, pickle.EMPTY_SET: set,
}  # fmt: skip
FIXED_SIZE: Mapping[bytes, str] = {
    pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d",
}  # fmt: skip
WITH_LENGTH: Mapping[bytes, tuple[str, Callable[[bytes], Any]]] = {
    pickle.LONG1: ("<B", _decode_int),  # LONG4, with up to two gigabytes for a number, is left out
    pickle.SHORT_BINSTRING: ("<B", _decode_latin1),
    pickle.BINSTRING: ("<I", _decode_latin1),
    pickle.SHORT_BINUNICODE: ("<B", _decode_utf8),
    pickle.BINUNICODE: ("<I", _decode_utf8),
    pickle.BINUNICODE8: ("<Q", _decode_utf8),
    pickle.SHORT_BINBYTES: ("<B", bytes),
    pickle.BINBYTES: ("<I", bytes),
    pickle.BINBYTES8: ("<Q", bytes),
    pickle.BYTEARRAY8: ("<Q", bytes),
}
TEXT_LINES: Mapping[bytes, Callable[[bytes], Any]] = {
    pickle.INT: parse_int,
    pickle.LONG: parse_int,
    pickle.FLOAT: _parse_float,
    pickle.STRING: _parse_string,
    pickle.UNICODE: lambda line: line.decode("raw-unicode-escape"),
}
