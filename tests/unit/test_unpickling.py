"""Arrays in pickles: plain numbers of both numpys come through, and no type that could be more than that."""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any

import numpy as np
import pytest

from fuzz import pickle_opcodes as op
from ymir_detectron2.retinanet.pickle_arguments import MalformedPickleError, RefusedContentError
from ymir_detectron2.retinanet.unpickling import are_sizes, is_shape, load_pickle

MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
FLOATS = op.dtype("f4")
ONE_FLOAT = op.array(op.numbers(1), FLOATS, op.data(b"1234"))
ENCODE, ORDERED_DICT = op.name("_codecs", "encode"), op.name("collections", "OrderedDict")
POINTER_SIZED = op.data(b"A" * 8)


def load(content: bytes) -> Any:
    return load_pickle(io.BytesIO(content), len(content))


def scalar(dtype: bytes, content: bytes, module: str = MODULES[0]) -> bytes:
    return op.call(op.name(module, "scalar"), dtype, content)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_numbers_and_containers_are_read(protocol: int):
    content = {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3), "number": np.float64(0.5), "bytes": b"\xff\x00",
        "ordered": collections.OrderedDict(a=1), "counted": collections.Counter("aab"), "set": {1, 2},
    }  # fmt: skip
    read = load(pickle.dumps(content, protocol=protocol))
    assert np.array_equal(read.pop("array"), content.pop("array"))
    assert type(read["number"]) is np.float64
    assert read == content


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("code", ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"])
def test_every_plain_number_in_every_layout(code: str, protocol: int):
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(code)
    swapped = array.astype(array.dtype.newbyteorder(">"))
    layouts = [array, np.asfortranarray(array), array[:, 1:], array[:0], array[0, 0], swapped]
    for before, after in zip(layouts, load(pickle.dumps(layouts, protocol=protocol))):
        assert np.array_equal(before, after)
        assert before.shape == after.shape
        assert after.dtype == np.dtype(code)


def test_arrays_that_python_2_wrote():
    """There bytes are text; the byte order and shape of this one are those of a file of Caffe2."""
    content = pickle.BINSTRING + b"\x08\0\0\0" + np.float32([1, -2]).tobytes()
    created = op.call(op.name(MODULES[0], "_reconstruct"), op.name("numpy", "ndarray"), op.numbers(0), b"U\x01b")
    program = op.with_state(created, op.tuple_of(op.number(1), op.numbers(2), FLOATS, op.FALSE, content))
    assert load(op.program(program)).tolist() == [1, -2]
    assert load(b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'a'\naI1\naatR.") == {"a": 1}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(op.dtype("O8", "|"), id="an object type whose flags are cleared"),
        pytest.param(op.dtype("O8", "|", flags=63), id="an object type"),
        pytest.param(op.dtype("V8", "|"), id="raw memory"),
        pytest.param(op.dtype("U2"), id="text"),
        pytest.param(op.dtype("M8"), id="a date"),
        pytest.param(op.dtype("f16"), id="a long double"),
        pytest.param(op.dtype("f8", flags=63), id="a number with the flags of an object"),
        pytest.param(op.dtype("f8", names=op.tuple_of(op.text("a"))), id="a number with fields"),
        pytest.param(op.dtype("O,f4"), id="a record"),
        pytest.param(op.call(op.name("numpy", "dtype"), op.name("numpy", "ndarray")), id="a type made of a class"),
        pytest.param(op.call(op.name("numpy", "dtype"), pickle.EMPTY_LIST), id="a type made of a list"),
        pytest.param(
            op.call(op.name("numpy", "dtype"), op.array(op.numbers(2, 2), FLOATS, op.data(bytes(16)))),
            id="a type made of an array, which takes several lines to print",
        ),
        pytest.param(op.with_state(op.dtype("f8"), op.EMPTY_TUPLE), id="a second state"),
    ],
)
def test_only_plain_numbers_are_types(module: str, dtype: bytes):
    """Of the first, numpy's `scalar` returns the object at the address 0x4141414141414141: this killed the process."""
    for program in (scalar(dtype, POINTER_SIZED, module), op.array(op.numbers(1), dtype, POINTER_SIZED, module), dtype):
        with pytest.raises(RefusedContentError) as failure:
            load(op.program(program))
        assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        pytest.param(op.numbers(3), op.data(b"12345678"), id="more than there is"),
        pytest.param(op.numbers(1), op.data(b"12345678"), id="less than there is"),
        pytest.param(op.numbers(2**62, 4), op.data(b""), id="a size that overflows to nothing"),
        pytest.param(op.numbers(0, 2**62), op.data(b""), id="nothing, but many of it"),
        pytest.param(op.numbers(-1, -2), op.data(b"12345678"), id="negative"),
        pytest.param(op.numbers(*[1] * 40), op.data(b"1234"), id="forty dimensions"),
        pytest.param(op.number(2), op.data(b"12345678"), id="a shape that is no tuple"),
        pytest.param(op.tuple_of(op.text("2")), op.data(b"12345678"), id="a size that is no number"),
        pytest.param(op.numbers(2), op.NONE, id="no content"),
        pytest.param(op.numbers(2), pickle.EMPTY_LIST, id="a list as content"),
    ],
)
def test_an_array_has_exactly_the_bytes_of_its_shape(shape: bytes, content: bytes):
    with pytest.raises(MalformedPickleError):
        load(op.program(op.array(shape, FLOATS, content)))


def test_a_boolean_is_0_or_1_whatever_the_file_holds():
    """torch 1.10 counts by adding bytes."""
    flags = load(op.program(op.array(op.numbers(3), op.dtype("b1", "|"), op.data(b"\x00\x01\xff"))))
    assert flags.view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("program", "finding"),
    [
        pytest.param(op.call(ENCODE, op.text("x"), op.text("rot13")), "_codecs.encode", id="another codec"),
        pytest.param(op.call(ENCODE, op.data(b"x"), op.text("zip")), "_codecs.encode", id="bytes"),
        pytest.param(
            op.call(op.name(MODULES[0], "_reconstruct"), op.name("collections", "OrderedDict"), op.numbers(0), op.NONE),
            "subclass", id="a subclass",
        ),
        pytest.param(op.with_state(ONE_FLOAT, op.NONE), "state of", id="a second state"),
        pytest.param(ONE_FLOAT + op.NONE + pickle.APPEND, "items of", id="items"),
        pytest.param(op.call(op.name("numpy", "frombuffer"), op.data(b"")), r"numpy\.frombuffer", id="a function"),
    ],
)  # fmt: skip
def test_nothing_else_of_numpy_and_python_is_there(program: bytes, finding: str):
    with pytest.raises(RefusedContentError, match=finding):
        load(op.program(program))


def test_a_mapping_is_made_of_pairs_of_keys_and_values():
    with pytest.raises(MalformedPickleError):
        load(op.program(op.call(ORDERED_DICT, op.text("ab"))))
    with pytest.raises(RefusedContentError, match="tuple as a key"):
        load(op.program(op.call(ORDERED_DICT, op.tuple_of(op.tuple_of(op.EMPTY_TUPLE, op.NONE)))))


def test_sizes_are_whole_numbers_from_0_on():
    assert are_sizes((0, 2**47))
    assert not any(map(are_sizes, ([1], (True,), (1.0,), (-1,), (2**48,), (1,) * 17)))
    assert is_shape((2**24, 2**23))
    assert not is_shape((0, 2**24, 2**24))
