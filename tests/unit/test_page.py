"""Tables of benchmarks, and the page that they go into."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.page import PAGE, cell, mean_and_range, promise, publish, table, with_section


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("fp32", "fp32"),
        (12345, "12,345"),
        (12345.6, "12,346"),
        (99.96, "100"),
        (1.0, "1.00"),
        (0.40004, "0.400"),
        (23.46, "23.5"),
    ],
)
def test_a_cell_has_three_significant_digits(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_table_is_markdown() -> None:
    assert table(["who", "images/s"], [["us", 2.5], ["them", None]]) == (
        "| who | images/s |\n|---|---|\n| us | 2.50 |\n| them | - |"
    )


def test_a_row_that_does_not_fit_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells and the table 2 columns"):
        table(["who", "images/s"], [["us"]])


@pytest.mark.parametrize(
    ("least", "most", "measured", "bound", "verdict"),
    [
        (1.1, None, 1.1, "at least 1.1", "kept"),
        (1.1, None, 1.09, "at least 1.1", "missed"),
        (None, 4.7, 4.7, "at most 4.7", "kept"),
        (None, 4.7, 5.0, "at most 4.7", "missed"),
        (500, None, None, "at least 500", "not measured here"),
    ],
)
def test_a_promise_is_kept_missed_or_open(
    least: float | None, most: float | None, measured: float | None, bound: str, verdict: str
) -> None:
    assert promise("it", least, most, measured=measured) == ["it", bound, measured, verdict]


def test_only_the_section_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    other = "<!-- measured: b -->\nkept\n<!-- end of b -->\n"
    page.write_text(f"by hand\n<!-- measured: a -->\nold\nlines\n<!-- end of a -->\nalso\n{other}")
    publish("a", "new \\1 | figures\n", page)
    assert page.read_text() == (
        f"by hand\n<!-- measured: a -->\nnew \\1 | figures\n<!-- end of a -->\nalso\n{other}"
    )


@pytest.mark.parametrize("page", ["", "<!-- measured: a -->", 2 * "<!-- measured: a -->x<!-- end of a -->"])
def test_a_page_without_the_one_section_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="expected one section"):
        with_section(page, "a", "new")


def test_the_page_has_a_section_for_each_benchmark() -> None:
    names = re.findall("<!-- measured: (.*) -->", PAGE.read_text(encoding="utf-8"))
    measured = ("inference", "where", "mining", "training")
    by_device = [f"{name}-{device}" for name in measured for device in ("cpu", "cuda")]
    assert sorted(names) == sorted([*by_device, "memory", "conversion"])


@pytest.mark.parametrize(
    ("values", "form", "text"),
    [
        ([], ".3f", ""),
        ([0.5], ".3f", "0.500"),
        ([0.25, 0.75], "+.2f", "+0.50 (+0.25 to +0.75)"),
    ],
)
def test_the_mean_over_seeds_is_shown_with_its_range(values: list[float], form: str, text: str) -> None:
    assert mean_and_range(values, form) == text
