"""The page of an active learning experiment: one file, whole and escaped."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import List

from benchmarks.learning_page import format_page
from benchmarks.learning_report import Table

TABLE = Table("A < B", "Mean & range of `x<y`.", ["", "`disc`"], [["`cald`", "0.5 [<0.6]"]])
PAGE = format_page("Set <1>", "Pool of `disc` & others.", [TABLE], {"a.png": b"\x89PNG bytes"})


class Cells(HTMLParser):
    """Collects the texts of cells, and the names of the open elements at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: List[str] = []
        self.open: List[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.texts[-1] += data


def test_cells_hold_the_texts_of_the_table() -> None:
    cells = Cells()
    cells.feed(PAGE)
    assert cells.texts == ["", "disc", "cald", "0.5 [<0.6]"]
    assert cells.open == []


def test_figures_are_part_of_the_file() -> None:
    (data,) = re.findall(r'src="data:image/png;base64,([^"]*)"', PAGE)
    assert base64.b64decode(data) == b"\x89PNG bytes"
    assert re.findall(r'(?:src|href)="(?!data:)', PAGE) == []


def test_title_and_captions_are_escaped() -> None:
    assert "<h1>Set &lt;1&gt;</h1>" in PAGE
    assert "<h2>A &lt; B</h2>" in PAGE
    assert "Mean &amp; range of <code>x&lt;y</code>." in PAGE
