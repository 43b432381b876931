"""result.tsv: sorted as in memory for any number of candidates, without temporary files left behind."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Iterable, Iterator

import pytest

from tests.contract.test_bad_storage import mounted
from tests.platform_reader import read_mining_result
from ymir_detectron2.contract.mining_result import read_mining_result as read_own_result
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.errors import DatasetError, StorageError


def lines_of(tmp_path: Path, scores: Iterable[tuple[str, float]]) -> list[bytes]:
    path = tmp_path / "out" / "result.tsv"
    write_mining_result(path, scores)
    assert [file.name for file in path.parent.iterdir()] == ["result.tsv"]
    return path.read_bytes().splitlines(keepends=True)


def test_mining_scores_are_sorted_and_equal_ones_by_name(tmp_path: Path):
    write_mining_result(tmp_path / "result.tsv", [("/in/b.jpg", -0.5), ("/in/a.jpg", -0.5), ("/in/c d.jpg", 0.0)])
    text = (tmp_path / "result.tsv").read_text()
    assert text == "/in/c d.jpg\t0.000000\n/in/a.jpg\t-0.500000\n/in/b.jpg\t-0.500000\n"
    assert read_mining_result(tmp_path / "result.tsv", ["a.jpg", "b.jpg", "c d.jpg"]) == ["c d", "a", "b"]


@pytest.mark.parametrize("count", [0, 1, 49_999, 50_000, 50_001, 100_000, 123_457])
def test_many_scores_are_sorted_as_in_memory(tmp_path: Path, count: int):
    random_numbers = random.Random(count)
    # few different scores: nearly every one is shared by many names
    scores = [(f"/in/{random_numbers.getrandbits(64):x}", -random_numbers.randrange(3000) / 7) for _ in range(count)]
    expected = [f"{name}\t{score:.6f}\n".encode() for name, score in sorted(scores, key=lambda s: (-s[1], s[0]))]
    assert lines_of(tmp_path, iter(scores)) == expected


def test_scores_that_are_equal_in_six_decimals_keep_their_order(tmp_path: Path):
    scores = [("a", 0.1), *((f"n{number:06d}", -1.0) for number in range(60_000)), ("b", 0.1 + 1e-15)]
    assert lines_of(tmp_path, scores)[:3] == [b"b\t0.100000\n", b"a\t0.100000\n", b"n000000\t-1.000000\n"]


def test_names_are_written_as_their_own_bytes(tmp_path: Path):
    odd = ["/in/caf\udce9.jpg", "/in/a\u2028b.jpg", '/in/ü "x".jpg', "/in/-0.jpg"]
    scores = [(name, -0.0) for name in odd] + [(f"{number:05d}", -2.0) for number in range(50_000)]
    first = lines_of(tmp_path, scores)[:4]
    assert first == [f"{name}\t-0.000000\n".encode("utf-8", "surrogateescape") for name in sorted(odd)]


def test_an_error_in_the_scores_leaves_the_old_file_and_no_other(tmp_path: Path):
    def broken() -> Iterator[tuple[str, float]]:
        yield from ((f"{number}", 0.0) for number in range(120_000))
        raise ZeroDivisionError

    assert lines_of(tmp_path, [("old", 0.0)]) == [b"old\t0.000000\n"]
    with pytest.raises(ZeroDivisionError):
        lines_of(tmp_path, broken())
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "out").iterdir()] == [
        ("result.tsv", b"old\t0.000000\n")
    ]  # fmt: skip


def test_a_disk_that_the_runs_fill_up(tmp_path: Path):
    folder = tmp_path / "out"
    with mounted(folder, "size=1m"):
        with pytest.raises(StorageError, match=r"result.tsv: cannot be written .* the disk is full"):
            write_mining_result(folder / "result.tsv", ((f"/in/{number:050d}", 0.0) for number in range(60_000)))
        assert list(folder.iterdir()) == []
        assert (folder / "report").write_bytes(b"x" * 900_000) == 900_000, "the space of the sorted runs is free again"


# --- read again -----------------------------------------------------------------------------------------------------


def test_names_of_any_bytes_and_scores_are_read_as_they_were_written(tmp_path: Path):
    odd = ["/in/caf\udce9.jpg", "/in/a\u2028b.jpg", '/in/ü "x".jpg', "/in/a\tb.jpg", "/in/c\rd.jpg"]
    path = tmp_path / "result.tsv"
    write_mining_result(path, [(name, -number / 8) for number, name in enumerate(odd)])
    assert list(read_own_result(path)) == [(name, -number / 8) for number, name in enumerate(odd)]


@pytest.mark.parametrize(
    "content", [b"a.jpg\n", b"a.jpg 0.5\n", b"a.jpg\thigh\n", b"a.jpg\tnan\n", b"a.jpg\t0.5\n\n", b"\xff"]
)
def test_what_is_no_result_is_refused_in_one_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "result.tsv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"result.tsv: is not a result of mining \(.*\); run mining again"):
        list(read_own_result(tmp_path / "result.tsv"))


def test_a_result_that_is_missing_is_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"cannot be read \(No such file or directory\); run mining first"):
        list(read_own_result(tmp_path / "result.tsv"))
