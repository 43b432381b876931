"""Bounds on nested data: shared parts count each time, and nothing is walked beyond the bounds."""

from __future__ import annotations

from typing import Any

import pytest

from ymir_detectron2.data_bounds import DataBoundsError, check_bounds


def check(root: Any, max_items: int = 100, max_depth: int = 5) -> None:
    check_bounds(root, lambda value: value if isinstance(value, list) else (), max_items=max_items, max_depth=max_depth)


def nested(levels: int, width: int = 1) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value] * width
    return value


def test_data_within_the_bounds_passes():
    check("text")
    check([0] * 99)
    check(nested(5))
    check([[1, 2], [3, [4, 5]], []])


def test_a_value_more_or_a_level_more_is_an_error():
    with pytest.raises(DataBoundsError, match="more than 100 values"):
        check([0] * 100)
    with pytest.raises(DataBoundsError, match="nested more than 5 levels deep"):
        check([[[[[[0]]]]]])


def test_shared_parts_count_each_time():
    """Ten to the tenth values in a hundred references: found at the hundred and first."""
    with pytest.raises(DataBoundsError, match="more than 100 values"):
        check(nested(11, 10), max_depth=20)


def test_a_circle_is_too_deep():
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(DataBoundsError, match="levels deep"):
        check(circle)


def test_a_million_levels_need_no_recursion():
    with pytest.raises(DataBoundsError):
        check(nested(1_000_000), max_items=10**7, max_depth=10**5)
