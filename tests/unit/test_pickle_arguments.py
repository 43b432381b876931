"""Arguments and keys of a pickle: what is read, and what would cost time or the C stack."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from ymir_detectron2.retinanet.pickle_arguments import (
    TEXT_LINES,
    MalformedPickleError,
    RefusedContentError,
    as_key,
    as_set,
    parse_int,
)


@pytest.mark.parametrize(
    ("line", "value"),
    [(b"12", 12), (b"-7", -7), (b"3L", 3), (b"00", False), (b"01", True), (b"9" * 600, int("9" * 600))],
)
def test_numbers_of_protocol_0(line: bytes, value: int):
    assert parse_int(line) == value


@pytest.mark.parametrize("opcode", [pickle.INT, pickle.LONG, pickle.FLOAT])
def test_a_number_of_many_digits_is_refused_before_it_is_converted(opcode: bytes):
    with pytest.raises(MalformedPickleError, match="a number of 1000000 characters"):
        TEXT_LINES[opcode](b"9" * 1_000_000)


@pytest.mark.parametrize("key", ["a", b"a", 1, -(2**63), True, None, 0.5])
def test_scalars_are_keys(key: Any):
    assert as_key(key) is key


@pytest.mark.parametrize(
    "key", [(), (1,), 2**63, float("nan"), [], np.float64(1)], ids=["()", "tuple", "large", "NaN", "list", "numpy"]
)
def test_what_may_collide_or_recurse_when_it_is_hashed_is_no_key(key: Any):
    with pytest.raises(RefusedContentError, match="as a key"):
        as_key(key)


def test_a_set_is_made_of_a_list_of_keys():
    assert as_set([1, "a"]) == {1, "a"}
    with pytest.raises(MalformedPickleError):
        as_set("text")
    with pytest.raises(RefusedContentError):
        as_set([()])
