"""The candidate index: every image once, by number, as `read_index` reads the same file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.contract.index_file import IndexEntry, read_index
from ymir_detectron2.contract.paths import PathMap
from ymir_detectron2.dataset.candidates import CandidateIndex, find_repeats
from ymir_detectron2.errors import DatasetError

PATHS = PathMap(Path("/x/in"), Path("/x/out"))


def read(tmp_path: Path, content: bytes) -> tuple[CandidateIndex, DataIssues]:
    path = tmp_path / "candidate-index.tsv"
    path.write_bytes(content)
    issues = DataIssues()
    return CandidateIndex(path, PATHS, issues), issues


@pytest.mark.parametrize(
    ("content", "assets", "issues"),
    [
        pytest.param(b"/in/a.jpg", ["/in/a.jpg"], {}, id="no line end"),
        pytest.param(b"/in/a b.jpg\n", ["/in/a b.jpg"], {}, id="blanks"),
        pytest.param(b"/in/b\n/in/a\n", ["/in/b", "/in/a"], {}, id="own order"),
        pytest.param(b"\xef\xbb\xbf/in/a\r\n\r\n /in/b \t\r\n", ["/in/a", "/in/b"], {}, id="of Windows"),
        pytest.param(b"/in/a\r/in/b\r/in/c", ["/in/a", "/in/b", "/in/c"], {}, id="line ends of old Macs"),
        pytest.param(b"/in/a\tx\n\t/in/a.txt\n", ["/in/a"], {"index line without an image": 1}, id="no image"),
        pytest.param(b"/in/\xe9\n", ["/in/\udce9"], {}, id="not UTF-8"),
        pytest.param("/in/a\u2028b\n".encode(), ["/in/a\u2028b"], {}, id="a line separator in a name"),
        pytest.param("/in/\u4e0a\r\n/in/b\r\n/in/\u4e0a\r\n".encode("utf-16"), ["/in/\u4e0a", "/in/b"],
                     {"image listed twice": 1}, id="of PowerShell"),
        pytest.param(b"/in/a\n/in/b\n/in/./a\nb\n/in/x/../a\n/in/c\n", ["/in/a", "/in/b", "/in/c"],
                     {"image listed twice": 3}, id="duplicates"),
    ],
)  # fmt: skip
def test_the_same_candidates_as_a_training_set_would_have(
    tmp_path: Path, content: bytes, assets: list[str], issues: dict[str, int]
):
    index, counted = read(tmp_path, content)
    entries = list(index.entries(0, len(index)))
    assert [entry.asset for entry in entries] == assets
    assert {reason: count["count"] for reason, count in counted.as_dict().items()} == issues
    whole = DataIssues()
    assert entries == read_index(tmp_path / "candidate-index.tsv", PATHS, whole, "candidate")
    assert counted.as_dict() == whole.as_dict()
    assert index.digest == hashlib.sha256(content).hexdigest()


def test_a_range_of_candidates(tmp_path: Path):
    lines = [f"/in/{number}.jpg" for number in range(10)]
    index, _ = read(tmp_path, "\n".join([*lines[:5], lines[0], "", *lines[5:]]).encode())
    assert len(index) == 10
    assert list(index.entries(4, 6)) == [IndexEntry(lines[n], Path(f"/x/in/{n}.jpg"), None) for n in (4, 5)]
    assert [entry.asset for entry in index.entries(8, 99)] == lines[8:]
    assert list(index.entries(10, 20)) == []
    assert [entry.asset for entry in index.entries_of([7, 0, 7])] == [lines[7], lines[0], lines[7]]


def test_a_file_name_that_an_earlier_candidate_has(tmp_path: Path):
    index, _ = read(tmp_path, b"/in/1/a.jpg\n/in/1/b.jpg\n/in/1/./a.jpg\n/in/2/a.jpg\n/in/2/c.jpg\n/in/3/a.jpg\n")
    assert [index.repeats_a_name(number) for number in range(len(index))] == [False, False, True, False, True]


@pytest.mark.parametrize(
    ("hashes", "values", "repeats"),
    [
        pytest.param([], "", [], id="none"),
        pytest.param([7, 5, 6], "abc", [], id="all different"),
        pytest.param([7, 5, 7, 5, 7], "ababa", [2, 3, 4], id="two values"),
        pytest.param([7, 7, 7, 7, 7], "abacb", [2, 4], id="three values with one hash"),
        pytest.param([1, 7, 7, 2, 7, 2**64 - 1, 7, 2**64 - 1], "xabyazbz", [4, 6, 7], id="between others"),
    ],
)
def test_different_values_with_the_same_hash_are_not_repeats(hashes: list[int], values: str, repeats: list[int]):
    marked = find_repeats(np.array(hashes, dtype=np.uint64), values.__getitem__)
    assert list(np.flatnonzero(marked)) == repeats


def test_many_candidates(tmp_path: Path):
    """5,000 paths, two or three times each, in random order, against a dictionary."""
    rng = np.random.default_rng(3)
    numbers = rng.permutation(np.r_[np.arange(5000), np.arange(5000), np.arange(0, 5000, 3)])
    assets = [f"/in/{number % 7}/{number // 2}.jpg" for number in numbers]
    index, issues = read(tmp_path, "\n".join(assets).encode())
    first: dict[str, Any] = dict.fromkeys(assets)
    assert [entry.asset for entry in index.entries(0, len(index))] == list(first)
    assert issues.count("image listed twice") == len(assets) - len(first)
    seen: set[str] = set()
    for number, asset in enumerate(first):
        name = asset.rpartition("/")[2]
        assert index.repeats_a_name(number) == (name in seen)
        seen.add(name)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\t\n"])
def test_an_empty_index(tmp_path: Path, content: bytes):
    with pytest.raises(DatasetError, match="the candidate set is empty"):
        read(tmp_path, content)


def test_an_index_that_is_not_there(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"gone: the candidate index cannot be read \(No such file or directory\)"):
        CandidateIndex(tmp_path / "gone", PATHS, DataIssues())
    with pytest.raises(DatasetError, match=r"env.yaml names no candidate index file"):
        CandidateIndex(None, PATHS, DataIssues())


def test_an_index_that_changes_under_the_task(tmp_path: Path):
    index, _ = read(tmp_path, b"/in/a\n/in/b\n")
    (tmp_path / "candidate-index.tsv").write_bytes(b"/in/a\n")
    with pytest.raises(DatasetError, match=r"candidate-index.tsv: has changed since it was first read"):
        list(index.entries(0, 2))
    (tmp_path / "candidate-index.tsv").unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        list(index.entries(0, 1))
