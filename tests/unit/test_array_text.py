"""Arrays as text in JSON: the same numbers back, and nothing else accepted."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest

from ymir_detectron2.array_text import array_to_text, text_to_array


@pytest.mark.parametrize("dtype", [np.float16, np.uint16, np.int8])
def test_numbers_come_back_in_order(dtype: type):
    numbers = np.array([[0, 1, 100], [7, 127, 3]]).astype(dtype)
    found = text_to_array(array_to_text(numbers), dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, numbers.ravel())
    assert len(text_to_array(array_to_text(np.zeros((0, 4), dtype)), dtype)) == 0


def test_the_bytes_are_little_endian_whatever_the_array():
    assert base64.b64decode(array_to_text(np.array([1.0, -2.0], dtype=">f2"))) == struct.pack("<2e", 1.0, -2.0)
    assert base64.b64decode(array_to_text(np.array([1, 513], dtype=">u2"))) == struct.pack("<2H", 1, 513)
    assert base64.b64decode(array_to_text(np.array([-1, 127], dtype=np.int8))) == struct.pack("2b", -1, 127)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("AAA", "is not base64"),
        ("A A=", "is not base64"),
        ("\u00e4AAA", "ASCII"),
        ("AA==", "a part of a number"),
        (base64.b64encode(struct.pack("<2e", 1.0, float("nan"))).decode(), "NaN or infinity"),
        (base64.b64encode(struct.pack("<e", float("-inf"))).decode(), "NaN or infinity"),
    ],
)
def test_anything_else_is_refused(text: str, finding: str):
    with pytest.raises(ValueError, match=finding):
        text_to_array(text, np.float16)
