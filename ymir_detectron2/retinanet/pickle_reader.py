"""A machine for pickles that builds plain data and calls nothing but the functions that it is given.

A pickle is a program for a stack machine. Python's own machine calls whatever the program names, and sets items and
states of whatever it has built. This one knows the opcodes of plain data only; its values are None, booleans, numbers,
text, bytes, lists, tuples, dictionaries and sets of exactly these types, and what the given functions return.

Nothing that a program says is believed before it is checked: lengths against the rest of the file, which bounds the
memory; what it gives to functions, which may copy it: the memo has the same megabyte for each of a million calls; the
number of opcodes and calls, which bounds the time; keys, since hashing a tuple in a tuple in a tuple overflows the C
stack. Protocols 0 to 5 are read; text of Python 2 is decoded as latin1.

Source: the opcodes are specified in Python's pickletools.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, BinaryIO, Callable, ClassVar, Iterable, Mapping

from ..data_bounds import DataBoundsError, check_bounds
from .pickle_arguments import (
    CONSTANTS,
    EMPTY_CONTAINERS,
    FIXED_SIZE,
    TEXT_LINES,
    WITH_LENGTH,
    MalformedPickleError,
    RefusedContentError,
    as_key,
    as_set,
    parse_int,
)

MAX_OPCODES = 2_000_000
"""A checkpoint of a large detector with its optimiser has 100,000. One opcode makes 216 bytes at most: an empty set."""
MAX_CALLS = 200_000
"""The same checkpoint has 10,000. The slowest call, of a tensor, takes some 15 microseconds."""
MAX_DEPTH = 50
_MAX_GIVEN = 4
"""How many times as many bytes as the pickle has functions may be given; arrays of Python 2 count twice."""
_FREE_BYTES = 1 << 16  # names such as "latin1" are given again and again, which counts in a small file only


class Builder:
    """A function that a pickle may call. It has to check its arguments, which can be anything that a pickle holds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


class Unbuilt:
    """An object that a pickle creates empty and then, by BUILD, gives a state: the value that replaces it.

    The memo gives out the value only, and a program that leaves one without a state is malformed: so none of these is
    ever part of the result.
    """

    value: Any = None
    """What `build` returned."""

    def build(self, state: Any) -> Any:
        raise NotImplementedError


class PickleReader:
    """Reads one pickle of a file."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        names: Mapping[tuple[str, str], Any],
        load_persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        """
        Args:
            file: positioned at the pickle.
            size: bytes from there to the end of the file; what is behind the pickle stays unread.
            names: (module, name) -> a `Builder`, or a value that stands for the name.
            load_persistent: returns the object of a persistent id; None: there are none.
        """
        self._file = file
        self._left = size
        self._names = names
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # the stacks below each MARK
        self._memo: dict[int, Any] = {}
        self._num_unbuilt = 0
        self._calls_left, self._items_left = MAX_CALLS, MAX_OPCODES
        self._bytes_left = _MAX_GIVEN * size + _FREE_BYTES

    def load(self) -> Any:
        """Return the object of the pickle.

        Raises:
            RefusedContentError: it asks for a name, an opcode or a state beyond plain data.
            MalformedPickleError: it is cut short, damaged or larger than any weight file.
        """
        try:
            for _ in range(MAX_OPCODES):
                opcode = self._take(1)
                if opcode == pickle.STOP:
                    return self._finish()
                self._run(opcode)
        except (ValueError, LookupError, TypeError, OverflowError, struct.error) as error:
            # an empty stack, text that is not UTF-8, a number that is none; an unhashable key; wrong arguments
            raise MalformedPickleError(f"{type(error).__name__}: {error}") from error
        raise MalformedPickleError(f"more than {MAX_OPCODES} opcodes")

    def _finish(self) -> Any:
        if self._num_unbuilt or self._marked or len(self._stack) != 1:
            raise MalformedPickleError("ends in the middle")
        value = self._stack.pop()
        try:
            check_bounds(value, items_of, max_items=MAX_OPCODES, max_depth=MAX_DEPTH)
        except DataBoundsError as error:
            raise MalformedPickleError(str(error)) from error
        return value

    def _run(self, opcode: bytes) -> None:
        if opcode in CONSTANTS:
            self._stack.append(CONSTANTS[opcode])
        elif opcode in FIXED_SIZE:
            self._stack.append(self._unpack(FIXED_SIZE[opcode]))
        elif opcode in WITH_LENGTH:
            size_format, decode = WITH_LENGTH[opcode]
            self._stack.append(decode(self._take(self._unpack(size_format))))
        elif opcode in TEXT_LINES:
            self._stack.append(TEXT_LINES[opcode](self._take_line()))
        elif opcode in EMPTY_CONTAINERS:
            self._stack.append(EMPTY_CONTAINERS[opcode]())
        elif opcode in self._METHODS:
            self._METHODS[opcode](self)
        else:
            raise RefusedContentError(f"the pickle opcode {opcode!r}")

    def _take(self, size: int) -> bytes:
        if size > self._left:  # before reading: Python would allocate whatever the file promises
            raise MalformedPickleError(f"{size} bytes are announced where {self._left} are left")
        content = self._file.read(size)
        if len(content) != size:
            raise MalformedPickleError("the file ends within the pickle")
        self._left -= size
        return content

    def _take_line(self) -> bytes:
        line = self._file.readline(self._left)
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise MalformedPickleError("the file ends within a line")
        return line[:-1]

    def _unpack(self, size_format: str) -> Any:
        return struct.unpack(size_format, self._take(struct.calcsize(size_format)))[0]

    # containers

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _top(self, kind: type) -> Any:
        """Return the top of the stack, which has to be exactly of this type: nothing else takes items."""
        target = self._stack[-1]
        if type(target) is not kind:
            raise RefusedContentError(f"items of a {type(target).__name__}")
        return target

    def _tuple(self) -> None:
        items = self._pop_mark()
        self._stack.append(tuple(items))

    def _tuple_of(self, length: int) -> None:
        if len(self._stack) < length:
            raise MalformedPickleError("the stack is empty")
        self._stack[-length:] = [tuple(self._stack[-length:])]

    def _list(self) -> None:
        items = self._pop_mark()
        self._stack.append(items)

    def _append(self) -> None:
        item = self._stack.pop()
        self._top(list).append(item)

    def _appends(self) -> None:
        items = self._pop_mark()
        self._top(list).extend(items)

    def _dict(self) -> None:
        items = self._pop_mark()
        self._stack.append({})
        self._set_items(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _set_many(self) -> None:
        items = self._pop_mark()
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise MalformedPickleError("a key without a value")
        target.update(zip(map(as_key, items[0::2]), items[1::2]))

    def _add_items(self) -> None:
        items = self._pop_mark()
        self._top(set).update(map(as_key, items))

    def _frozenset(self) -> None:
        items = self._pop_mark()
        self._stack.append(as_set(items))

    # the memo

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        value = self._memo[index]
        if isinstance(value, Unbuilt):
            if value.value is None:
                raise RefusedContentError("an object that contains itself")
            value = value.value
        self._stack.append(value)

    # names, calls and states

    def _global(self) -> None:
        module, name = self._take_line().decode("utf-8"), self._take_line().decode("utf-8")
        self._stack.append(self._find(module, name))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise MalformedPickleError("a name that is no text")
        self._stack.append(self._find(module, name))

    def _find(self, module: str, name: str) -> Any:
        try:
            return self._names[(module, name)]
        except KeyError:
            # repr without its quotes: the sentence has one line, whatever the name holds
            shown = repr(f"{module}.{name}")[1:-1]
            raise RefusedContentError(shown if len(shown) <= 100 else shown[:97] + "...") from None

    def _reduce(self) -> None:
        arguments, builder = self._stack.pop(), self._stack.pop()
        if not isinstance(builder, Builder) or type(arguments) is not tuple:
            raise RefusedContentError(f"a call of a {type(builder).__name__}")
        self._count_given(arguments)
        value = builder.function(*arguments)
        self._num_unbuilt += isinstance(value, Unbuilt)
        self._stack.append(value)

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Unbuilt):
            self._count_given(state if type(state) is tuple else ())
            target.value = self._stack[-1] = target.build(state)
            self._num_unbuilt -= 1
        # the state of an OrderedDict, with which torch.save keeps the versions of layers, is dropped: nobody reads it
        elif type(target) is not dict:
            raise RefusedContentError(f"the state of a {type(target).__name__}")

    def _count_given(self, values: tuple[Any, ...]) -> None:
        """Count a call and what it is given, each time again: the call may copy all of it."""
        self._calls_left -= 1
        for value in values:
            if type(value) in (bytes, str):
                self._bytes_left -= len(value)
            elif type(value) in (list, tuple, dict):
                self._items_left -= len(value)
        if min(self._calls_left, self._bytes_left, self._items_left) < 0:
            raise MalformedPickleError("more calls, or of more data, than any weight file needs")

    def _persistent(self) -> None:
        if self._load_persistent is None:
            raise RefusedContentError("a persistent id")
        self._stack.append(self._load_persistent(self._stack.pop()))

    _METHODS: ClassVar[Mapping[bytes, Callable[[PickleReader], Any]]] = {
        pickle.PROTO: lambda reader: reader._take(1),
        pickle.FRAME: lambda reader: reader._take(8),  # frames only help a reader that fetches them whole
        pickle.MARK: _mark,
        pickle.TUPLE: _tuple,
        pickle.TUPLE1: lambda reader: reader._tuple_of(1),
        pickle.TUPLE2: lambda reader: reader._tuple_of(2),
        pickle.TUPLE3: lambda reader: reader._tuple_of(3),
        pickle.LIST: _list,
        pickle.APPEND: _append,
        pickle.APPENDS: _appends,
        pickle.DICT: _dict,
        pickle.SETITEM: _set_item,
        pickle.SETITEMS: _set_many,
        pickle.ADDITEMS: _add_items,
        pickle.FROZENSET: _frozenset,
        pickle.PUT: lambda reader: reader._put(parse_int(reader._take_line())),
        pickle.BINPUT: lambda reader: reader._put(reader._unpack("<B")),
        pickle.LONG_BINPUT: lambda reader: reader._put(reader._unpack("<I")),
        pickle.MEMOIZE: lambda reader: reader._put(len(reader._memo)),
        pickle.GET: lambda reader: reader._get(parse_int(reader._take_line())),
        pickle.BINGET: lambda reader: reader._get(reader._unpack("<B")),
        pickle.LONG_BINGET: lambda reader: reader._get(reader._unpack("<I")),
        pickle.GLOBAL: _global,
        pickle.STACK_GLOBAL: _stack_global,
        pickle.REDUCE: _reduce,
        pickle.BUILD: _build,
        pickle.BINPERSID: _persistent,
    }


def items_of(value: Any) -> Iterable[Any]:
    """Return the values of a container of a pickle; of anything else ()."""
    if type(value) is dict:
        return value.values()
    return value if type(value) in (list, tuple, set) else ()
