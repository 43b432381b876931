"""Index files of every form: line ends, encodings, columns, duplicates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.contract.index_file import index_encoding, index_lines, line_at, read_index, require_index
from ymir_detectron2.contract.paths import PathMap
from ymir_detectron2.errors import DatasetError


def read(tmp_path: Path, content: bytes) -> tuple[list[tuple[str, str | None]], dict[str, Any]]:
    index = tmp_path / "index.tsv"
    index.write_bytes(content)
    issues = DataIssues()
    entries = read_index(index, PathMap(Path("/in"), Path("/out")), issues, "training")
    columns = [(entry.asset, entry.annotation_path and str(entry.annotation_path)) for entry in entries]
    return columns, {reason: count["count"] for reason, count in issues.as_dict().items()}


@pytest.mark.parametrize(
    ("content", "entries", "issues"),
    [
        pytest.param(b"/in/a.jpg", [("/in/a.jpg", None)], {}, id="one column, no line end"),
        pytest.param(b"/in/a b.jpg\t/in/a b.txt\n", [("/in/a b.jpg", "/in/a b.txt")], {}, id="blanks"),
        pytest.param(b"\xef\xbb\xbf/in/a\r\n\r\n/in/b\t\r\n", [("/in/a", None), ("/in/b", None)], {}, id="of Windows"),
        pytest.param(b"/in/a\n/in/./a\n/in/b/../a\n", [("/in/a", None)], {"image listed twice": 2}, id="duplicates"),
        pytest.param(b"/in/a\n\t/in/a.txt\n", [("/in/a", None)], {"index line without an image": 1}, id="no image"),
        pytest.param(b"/in/b\n/in/a\n", [("/in/b", None), ("/in/a", None)], {}, id="own order"),
        pytest.param(b"/in/a\t/in/t\textra\n", [("/in/a", "/in/t")], {}, id="third column"),
        pytest.param(b"/in/a\r/in/b", [("/in/a", None), ("/in/b", None)], {}, id="line ends of old Macs"),
        pytest.param(b"/in/\xe9\n", [("/in/\udce9", None)], {}, id="not UTF-8"),
        pytest.param("/in/a\u2028b\n".encode(), [("/in/a\u2028b", None)], {}, id="a line separator in a name"),
        *(
            # \u4e0a has the byte of a line end in it
            pytest.param(f"{mark}/in/\u4e0a.jpg\t/in/t\r\n\r\n/in/b".encode(encoding),
                         [("/in/\u4e0a.jpg", "/in/t"), ("/in/b", None)], {}, id=f"{encoding} {mark!r}")
            for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be") for mark in ("", "\ufeff")
        ),
    ],
)  # fmt: skip
def test_index_files(tmp_path: Path, content: bytes, entries: list, issues: dict):
    assert read(tmp_path, content) == (entries, issues)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\t\n"])
def test_empty_index_is_an_error(tmp_path: Path, content: bytes):
    with pytest.raises(DatasetError, match="set is empty"):
        read(tmp_path, content)


def test_missing_index_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match="the candidate index cannot be read"):
        read_index(tmp_path / "gone", PathMap(tmp_path, tmp_path), DataIssues(), "candidate")
    with pytest.raises(DatasetError, match=r"env\.yaml names no validation index file; start the task with a valid"):
        require_index(None, "validation")


def test_lines_are_found_again_by_their_offset(tmp_path: Path):
    index = tmp_path / "index.tsv"
    index.write_bytes(b"\xef\xbb\xbf/in/a\t/in/t\r\n\n/in/b\r/in/c")
    with index.open("rb") as file:
        lines = list(index_lines(file, index, DataIssues()))
        assert [(line.number, line.offset) for line in lines] == [(1, 3), (3, 17), (4, 23)]
        assert [line_at(file, line.offset, "") for line in lines] == [line._replace(number=0) for line in lines]
        with pytest.raises(DatasetError, match=r"index.tsv: has changed since it was first read"):
            line_at(file, 16, "")  # the empty line


@pytest.mark.parametrize(("encoding", "bytes_each"), [("utf-16", 2), ("utf-16-be", 2), ("utf-32", 4)])
def test_lines_of_wide_characters_are_found_again(tmp_path: Path, encoding: str, bytes_each: int):
    index = tmp_path / "index.tsv"
    index.write_bytes("/in/\u4e0a\t/in/t\r\n\n/in/b\r/in/c".encode(encoding))
    mark = 0 if encoding == "utf-16-be" else bytes_each
    with index.open("rb") as file:
        lines = list(index_lines(file, index, DataIssues()))
        offsets = [mark, mark + 14 * bytes_each, mark + 20 * bytes_each]
        assert [(line.number, line.offset) for line in lines] == list(zip((1, 3, 4), offsets))
        found = [line_at(file, line.offset, index_encoding(file)) for line in lines]
        assert found == [line._replace(number=0) for line in lines]


def test_wide_characters_that_are_damaged_are_an_error(tmp_path: Path):
    (tmp_path / "index.tsv").write_bytes("/in/a.jpg".encode("utf-16") + b"x")
    with pytest.raises(DatasetError, match=r"index.tsv: the training index is damaged text .*; save it as UTF-8"):
        read_index(tmp_path / "index.tsv", PathMap(tmp_path, tmp_path), DataIssues(), "training")


def test_a_fifo_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "index.tsv")
    with pytest.raises(DatasetError, match=r"index\.tsv: the candidate index cannot be read \(Not a regular file\)"):
        read_index(tmp_path / "index.tsv", PathMap(tmp_path, tmp_path), DataIssues(), "candidate")
