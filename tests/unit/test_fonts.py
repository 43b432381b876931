"""Which text of class names can be drawn, and with which font."""

from __future__ import annotations

import pytest

from ymir_detectron2.evaluation.fonts import drawable_names, font_files, split_by_font, text_width

UNKNOWN = "\U0010fffd"
"""A character that no font has."""


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        pytest.param("cat", "cat", id="as it is"),
        pytest.param(" two\nlines\t", "two lines", id="one line"),
        pytest.param("$x^2$", "$x^2$", id="a formula of TeX, which is one nowhere"),
        pytest.param(UNKNOWN, "#1", id="a character that no font has"),
        pytest.param(f"{UNKNOWN} RBC", "#1 RBC", id="and others that it has"),
        pytest.param("", "#1", id="nothing"),
        pytest.param("a" * 24, "a" * 24, id="just short enough"),
        pytest.param("a" * 25, "a" * 23 + "…", id="too long"),
    ],
)
def test_names_as_they_are_drawn(name: str, drawn: str):
    assert drawable_names(["first", name])[1] == drawn


def test_names_that_are_the_same_once_they_are_shortened_are_shown_with_their_positions():
    long = "a" * 30
    assert drawable_names([f"{long}0", "cat", f"{long}1"]) == ["#0 " + "a" * 20 + "…", "cat", "#2 " + "a" * 20 + "…"]


def test_chinese_characters_are_twice_as_wide():
    assert text_width("红细胞 RBC") == 10


def test_each_character_has_the_first_font_that_has_it():
    """Also one that no font has, which is drawn as a box."""
    latin = font_files()[0]
    assert list(split_by_font("a b")) == [("a b", latin)]
    assert list(split_by_font(UNKNOWN)) == [(UNKNOWN, latin)]
    assert list(split_by_font("")) == []
    if len(font_files()) > 1:
        assert list(split_by_font("RBC 红细胞!")) == [("RBC ", latin), ("红细胞", font_files()[1]), ("!", latin)]
