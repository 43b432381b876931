"""The pickle machine: plain data of all protocols comes through; nothing is called, nothing is believed."""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from fuzz import pickle_opcodes as op
from ymir_detectron2.retinanet.pickle_arguments import MalformedPickleError, RefusedContentError
from ymir_detectron2.retinanet.pickle_reader import MAX_CALLS, MAX_OPCODES, Builder, PickleReader, Unbuilt


class Label(Unbuilt):
    """Text that comes with the state."""

    def build(self, state: Any) -> str:
        return f"label {state}"


NAMES = {
    ("collections", "OrderedDict"): Builder(dict),
    ("here", "length"): Builder(len),
    ("here", "Label"): Builder(Label),
    ("here", "value"): "a value",
}
LABEL = op.call(op.name("here", "Label"))
MAPPING = op.call(op.name("collections", "OrderedDict"))


def read(content: bytes) -> Any:
    return PickleReader(io.BytesIO(content), len(content), NAMES).load()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol(protocol: int):
    shared = ["shared"]
    content = {
        "numbers": [0, 1, -1, 255, 256, 65536, 2**31, -(2**70), 0.5, float("inf"), True, False, None],
        "text": ["", "a", "é\n'\"\\", "猫" * 300, "\ud800"], "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "shared": [shared, shared], 7: {"deep": [{}]}, "ordered": collections.OrderedDict(b=1, a=2),
    }  # fmt: skip
    found = read(pickle.dumps(content, protocol=protocol))
    assert found == content
    assert list(found["ordered"]) == ["b", "a"]
    assert found["shared"][0] is found["shared"][1]


def test_bytes_and_sets_of_the_protocols_that_write_them_as_such():
    content = {"bytes": b"\xff", "long": b"x" * 300, "set": {1, 2}, "frozen": frozenset("ab")}
    assert read(pickle.dumps(content, protocol=4)) == content
    assert read(pickle.dumps(bytearray(b"ab"), protocol=5)) == b"ab"


def test_text_of_python_2_is_latin1():
    assert read(b"S'caf\\xe9'\n.") == "café"
    assert read(b"U\x04caf\xe9.") == "café"


def test_the_state_of_an_ordered_dictionary_is_dropped():
    """torch.save keeps the versions of layers there."""
    assert read(op.program(op.with_state(MAPPING, op.text("state")))) == {}


def test_a_value_built_later_takes_the_place_of_the_empty_object():
    first = op.with_state(LABEL + pickle.BINPUT + b"\x00", op.text("one"))
    assert read(op.program(op.tuple_of(first, pickle.BINGET + b"\x00"))) == ("label one", "label one")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        pytest.param(op.program(op.name("posix", "system")), r"posix\.system", id="a name"),
        pytest.param(op.program(op.text("os"), op.text("system"), pickle.STACK_GLOBAL), r"os\.system", id="stacked"),
        pytest.param(op.program(op.call(op.name("here", "value"))), "a call of a str", id="a call of a value"),
        pytest.param(op.program(op.call(op.text("a"))), "a call of a str", id="a call of text"),
        pytest.param(op.program(op.name("here", "length") + op.text("ab") + pickle.REDUCE), "a call", id="no tuple"),
        pytest.param(op.program(op.name("here", "length") + op.EMPTY_TUPLE + pickle.NEWOBJ), r"\\x81", id="NEWOBJ"),
        pytest.param(
            op.program(op.name("here", "length") + op.EMPTY_TUPLE + pickle.EMPTY_DICT + pickle.NEWOBJ_EX),
            r"\\x92", id="NEWOBJ_EX",
        ),
        pytest.param(op.program(pickle.MARK + pickle.INST + b"os\nsystem\n"), "'i'", id="INST"),
        pytest.param(op.program(pickle.MARK + op.name("here", "length") + pickle.OBJ), "'o'", id="OBJ"),
        pytest.param(op.program(pickle.EXT1 + b"\x01"), r"\\x82", id="an extension"),
        pytest.param(op.program(pickle.PERSID + b"id\n"), "'P'", id="a persistent id in text"),
        pytest.param(op.program(op.text("id") + pickle.BINPERSID), "a persistent id", id="a persistent id"),
        pytest.param(op.program(pickle.NEXT_BUFFER), r"\\x97", id="a buffer from outside"),
        pytest.param(op.program(op.with_state(op.name("here", "length"), pickle.EMPTY_DICT)), "state", id="state"),
        pytest.param(op.program(op.with_state(op.text("a"), pickle.EMPTY_DICT)), "state of a str", id="text's state"),
        pytest.param(
            op.program(op.name("here", "length") + op.text("a") + op.text("b") + pickle.SETITEM), "items", id="an item"
        ),
        pytest.param(op.program(op.text("a") + op.text("b") + pickle.APPEND), "items of a str", id="an element"),
        pytest.param(op.program(op.data(b"a"), pickle.MARK, op.NONE, pickle.ADDITEMS), "items of", id="a member"),
        pytest.param(
            op.program(op.tuple_of(LABEL + pickle.BINPUT + b"\0", pickle.BINGET + b"\0")), "itself", id="empty"
        ),
    ],
)  # fmt: skip
def test_whatever_is_more_than_plain_data_is_refused_by_name(content: bytes, finding: str):
    with pytest.raises(RefusedContentError, match=finding):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(pickle.dumps([1, 2])[:-1], id="without an end"),
        pytest.param(b"\x80\x04.", id="nothing"),
        pytest.param(op.program(op.NONE, op.NONE), id="two values"),
        pytest.param(op.program(pickle.MARK, op.NONE), id="an open mark"),
        pytest.param(op.program(LABEL), id="never built"),
        pytest.param(op.program(pickle.BINGET + b"\x05"), id="an empty place of the memo"),
        pytest.param(op.program(pickle.TUPLE3), id="an empty stack"),
        pytest.param(op.program(pickle.APPENDS), id="no mark"),
        pytest.param(op.program(op.call(op.name("here", "length"))), id="too few arguments"),
        pytest.param(op.program(pickle.MARK, op.NONE, pickle.DICT), id="a key without a value"),
        pytest.param(op.program(pickle.STRING + b"a\n"), id="text without quotes"),
        pytest.param(op.program(pickle.BINUNICODE + b"\x01\0\0\0\xff"), id="no UTF-8"),
        pytest.param(op.program(op.number(1), op.number(2), pickle.STACK_GLOBAL), id="numbers as a name"),
    ],
)
def test_what_is_cut_short_or_damaged_is_malformed(content: bytes):
    with pytest.raises(MalformedPickleError):
        read(content)


@pytest.mark.parametrize(
    ("opcode", "size"),
    [
        (pickle.BINBYTES8, b"\xff" * 7 + b"\x7f"), (pickle.BINUNICODE8, b"\xff" * 8),
        (pickle.BYTEARRAY8, b"\0" * 7 + b"1"),
        (pickle.BINBYTES, b"\xff" * 4), (pickle.BINSTRING, b"\xff" * 4), (pickle.BINUNICODE, b"\xff\xff\xff\x7f"),
    ],
)  # fmt: skip
def test_a_length_beyond_the_end_of_the_file_is_not_believed(opcode: bytes, size: bytes):
    with pytest.raises(MalformedPickleError, match="are announced where 1 are left"):
        read(op.program(opcode + size))


def test_the_name_in_the_error_has_one_line_and_an_end():
    with pytest.raises(RefusedContentError) as failure:
        read(op.program(op.text("a\nb" * 1000), op.text("x"), pickle.STACK_GLOBAL))
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) <= 100


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pickle.EMPTY_LIST + pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.APPEND, id="a circle"),
        pytest.param(op.NONE + pickle.TUPLE1 * 1_000_000, id="a million levels"),
        pytest.param(
            pickle.MARK * 12 + op.NONE + b"".join(
                pickle.BINPUT + bytes([level]) + (pickle.BINGET + bytes([level])) * 9 + pickle.LIST
                for level in range(12)
            ),
            id="a trillion references",
        ),
    ],
)  # fmt: skip
def test_data_that_nobody_could_walk_through_is_refused(body: bytes):
    with pytest.raises(MalformedPickleError, match=r"levels deep|at each place that refers to them"):
        read(op.program(body))


def test_a_key_of_a_million_levels_is_never_hashed():
    """Hashing it overflows the C stack, which kills the process."""
    nested = op.NONE + pickle.TUPLE1 * 1_000_000
    with pytest.raises(RefusedContentError, match="tuple as a key"):
        read(op.program(pickle.EMPTY_DICT, nested, op.NONE, pickle.SETITEM))


def test_the_number_of_opcodes_is_limited():
    with pytest.raises(MalformedPickleError, match=f"more than {MAX_OPCODES} opcodes"):
        read(pickle.EMPTY_SET * (MAX_OPCODES + 1))


def called_again_and_again(*arguments: bytes, count: int, state: bytes = b"") -> bytes:
    """A pickle of calls of Label with the same arguments, which the memo holds."""
    function, given = pickle.BINPUT + b"\0", op.tuple_of(*arguments) + pickle.BINPUT + b"\1"
    state = state and state + pickle.BINPUT + b"\2"
    call = pickle.BINGET + b"\0" + pickle.BINGET + b"\1" + pickle.REDUCE
    calls = (call + (state and pickle.BINGET + b"\2" + pickle.BUILD)) * count
    return op.program(op.name("here", "new") + function + given + state + pickle.MARK + calls + pickle.LIST)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(called_again_and_again(op.data(b"x" * 100_000), count=100), id="bytes"),
        pytest.param(called_again_and_again(op.text("x" * 100_000), count=100), id="text"),
        pytest.param(called_again_and_again(pickle.MARK + op.NONE * 100_000 + pickle.LIST, count=30), id="a list"),
        pytest.param(
            called_again_and_again(
                pickle.EMPTY_DICT + pickle.MARK
                + b"".join(op.number(number) + op.NONE for number in range(100_000)) + pickle.SETITEMS,
                count=30,
            ),
            id="a dictionary",
        ),
        pytest.param(
            called_again_and_again(count=100, state=op.tuple_of(op.data(b"x" * 100_000))), id="the state of an object"
        ),
        pytest.param(called_again_and_again(count=MAX_CALLS + 1), id="nothing"),
    ],
)  # fmt: skip
def test_functions_are_not_given_the_same_data_again_and_again(content: bytes):
    """Each call may copy what it is given: a file of a megabyte would take any amount of memory."""
    names = {("here", "new"): Builder(lambda *arguments: Label())}
    with pytest.raises(MalformedPickleError, match="more calls, or of more data, than any weight file needs"):
        PickleReader(io.BytesIO(content), len(content), names).load()


def test_nothing_behind_the_pickle_is_read(tmp_path: Path):
    """A file of torch before 1.6 is one pickle after another."""
    (tmp_path / "a").write_bytes(pickle.dumps("first") + pickle.dumps("second"))
    with (tmp_path / "a").open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        assert PickleReader(file, size, NAMES).load() == "first"
        assert PickleReader(file, size - file.tell(), NAMES).load() == "second"
