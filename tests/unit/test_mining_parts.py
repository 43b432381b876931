"""mining-parts.tsv: comes back as it was written, whatever names it holds, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.results.mining_parts import MOST_ROWS, PartsRow, as_cell, read_parts, write_parts

ROW = PartsRow("/in/ü.jpg", 0.72, "cat", False, 0.9, 0.8, "8e60.jpg")
EMPTY = PartsRow("/in/b.jpg", 0.0, "", True, 0.0, None, "")


def test_rows_come_back_as_they_were_written(tmp_path: Path):
    path = tmp_path / "mining-parts.tsv"
    write_parts(path, [ROW, EMPTY])
    assert read_parts(path) == [ROW, EMPTY]
    assert path.read_text(encoding="utf-8").splitlines() == [
        "image\tscore\tclass\tnothing_found\tgain\tnovelty\tresembles",
        "/in/ü.jpg\t0.720000\tcat\t0\t0.900000\t0.800\t8e60.jpg",
        "/in/b.jpg\t0.000000\t\t1\t0.000000\t\t",
    ]


def test_no_name_breaks_a_cell_or_a_line(tmp_path: Path):
    path = tmp_path / "a.tsv"
    hostile = "a\tb\nc\u2028d\x1b[2J\udcff"
    write_parts(path, [ROW._replace(image=hostile, class_name=hostile, resembles=hostile), EMPTY])
    first, second = read_parts(path)
    assert second == EMPTY
    assert {first.image, first.class_name, first.resembles} == {as_cell(hostile)}
    assert as_cell(hostile) == "a b c\\u2028d\\x1b[2J\\udcff"


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg\t1.0\tcat\t0\t1.0\t0.5",  # a cell is missing
        "a.jpg\t1.0\tcat\t0\t1.0\t0.5\t\t",  # one too many
        "a.jpg\tnan\tcat\t0\t1.0\t0.5\t",
        "a.jpg\t1.0\tcat\t0\tinf\t0.5\t",
        "a.jpg\t1.0\tcat\t0\t1.0\t1.5\t",
        "a.jpg\t1.0\tcat\t0\t1.0\tnan\t",
        "a.jpg\t1.0\tcat\tyes\t1.0\t0.5\t",
        "a.jpg\t1.0\t" + "c" * 100_000 + "\t0\t1.0\t0.5\t",
        "a.jpg\t1.0\t\udcff\t0\t1.0\t0.5\t",
    ],
)
def test_a_damaged_file_is_not_there(tmp_path: Path, line: str):
    path = tmp_path / "a.tsv"
    write_parts(path, [ROW])
    with path.open("ab") as file:
        file.write(line.encode("utf-8", "surrogateescape") + b"\n")
    assert read_parts(path) == []


@pytest.mark.parametrize("content", [b"", b"image\tscore\n", b"\xff\n", b"x" * 200_000])
def test_what_is_no_such_file_is_not_there(tmp_path: Path, content: bytes):
    assert read_parts(tmp_path / "gone.tsv") == []
    assert read_parts(tmp_path) == []
    (tmp_path / "a.tsv").write_bytes(content)
    assert read_parts(tmp_path / "a.tsv") == []


def test_more_rows_than_are_written_are_those_of_a_stranger(tmp_path: Path):
    path = tmp_path / "a.tsv"
    write_parts(path, [EMPTY] * MOST_ROWS)
    assert len(read_parts(path)) == MOST_ROWS
    write_parts(path, [EMPTY] * (MOST_ROWS + 1))
    assert read_parts(path) == []


def test_a_line_that_was_cut_off_is_damage(tmp_path: Path):
    path = tmp_path / "a.tsv"
    write_parts(path, [ROW, EMPTY])
    path.write_bytes(path.read_bytes()[:-1])
    assert read_parts(path) == []
