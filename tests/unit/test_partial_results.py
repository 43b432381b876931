"""Partial results: whatever ends a process, the next run reads the complete lines and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_bad_storage import mounted
from tests.running import PROJECT_DIR
from ymir_detectron2.contract.partial_results import (
    PARTIAL_RESULTS_DIR,
    PartialResults,
    marker_name,
    remove_partial_results,
)
from ymir_detectron2.errors import StorageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / PARTIAL_RESULTS_DIR / "mining-abc"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tsv"))


def line(block: int, payload: Any) -> bytes:
    """As the docstring of the module has it."""
    content = f"{block}\t{json.dumps(payload)}".encode()
    return content + f"\t{zlib.crc32(content):08x}\n".encode()


def test_nothing_is_finished_at_first(folder: Path):
    results = PartialResults(folder)
    assert results.done() == set()
    assert list(results.in_order()) == []
    assert not folder.exists()


def test_blocks_of_several_processes_come_back_in_order(folder: Path):
    all_results = [PartialResults(folder, rank) for rank in range(3)]
    for block in range(10):
        all_results[block % 3].add(block, {"block": block})
    assert all(results.done() == set(range(10)) for results in all_results)
    assert list(all_results[1].in_order()) == [(block, {"block": block}) for block in range(10)]
    assert len(files(folder)) == 3


def test_a_restarted_run_writes_new_files(folder: Path):
    for run, blocks in enumerate([(0, 2, 5), (1, 3), (4,)]):
        results = PartialResults(folder)
        assert not results.done() & set(blocks)
        for block in blocks:
            results.add(block, run)
    assert list(PartialResults(folder).in_order()) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 2), (5, 0)]
    assert len(files(folder)) == 3


def test_a_block_in_two_files_counts_once(folder: Path):
    for blocks in ((0, 1, 2), (1, 2, 3)):
        results = PartialResults(folder)
        for block in blocks:
            results.add(block, block * 10)
    assert results.done() == {0, 1, 2, 3}
    assert list(results.in_order()) == [(block, block * 10) for block in range(4)]


def test_blocks_of_other_processes_are_read_by_the_next_call(folder: Path):
    one, other = PartialResults(folder, 0), PartialResults(folder, 1)
    one.add(0, None)
    assert other.done() == {0}
    other.add(1, None)
    one.add(2, None)
    assert other.done() == {0, 1, 2}
    files(folder)[0].write_bytes(b"")  # lines are not read twice
    assert other.done() == {0, 1, 2}


@pytest.mark.parametrize(
    "incomplete", [b"1", b"12", b"1\t", b"1\t[1, 2", b"1\t[1, 2]", b"\0\0\0", b"\0\0\n", b"\n", b"x\t1\n"]
)
def test_an_incomplete_last_line_is_ignored(folder: Path, incomplete: bytes):
    PartialResults(folder).add(0, "whole")
    with files(folder)[0].open("ab") as file:
        file.write(incomplete)
    results = PartialResults(folder)
    assert results.done() == {0}
    assert list(results.in_order()) == [(0, "whole")]
    results.add(1, "again")
    assert list(results.in_order()) == [(0, "whole"), (1, "again")]


def test_a_line_that_another_process_has_not_completed_yet(folder: Path):
    folder.mkdir(parents=True)
    path = folder / "0001-other-1.tsv"
    whole = line(3, [1])
    path.write_bytes(whole[:4])
    results = PartialResults(folder)
    assert results.done() == set()
    with path.open("ab") as file:
        file.write(whole[4:] + b"4\tn")
    assert results.done() == {3}
    assert list(results.in_order()) == [(3, [1])]


@pytest.mark.parametrize(
    "payload",
    [None, 0, -0.1, 1e-300, [["/in/caf\udce9.jpg", 0.1 + 0.2]], {"tab\tnewline\n": "\u2028ü\x00"}, [[]], "x" * 300_000],
)
def test_a_payload_is_read_back_unchanged(folder: Path, payload: Any):
    results = PartialResults(folder)
    results.add(7, payload)
    assert list(results.in_order()) == [(7, payload)]
    assert files(folder)[0].read_bytes().count(b"\n") == 1


def test_a_block_behind_a_later_one_goes_into_another_file(folder: Path):
    results = PartialResults(folder)
    for block in (4, 6, 1, 5):
        results.add(block, block * 10)
    assert list(results.in_order()) == [(block, block * 10) for block in (1, 4, 5, 6)]
    assert len(files(folder)) == 2


@pytest.mark.parametrize("damage", [b"\0\0\0\0", b"9999"])
@pytest.mark.parametrize("place", [0, 2, 5, -5])
def test_a_damaged_block_is_not_done(folder: Path, damage: bytes, place: int):
    """As after a power cut: the end of the line is there, but not all that was written before it."""
    results = PartialResults(folder)
    for block in range(3):
        results.add(block, ["payload", block])
    (path,) = files(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    start = place % len(lines[1])
    lines[1] = lines[1][:start] + damage + lines[1][start + len(damage) :]
    path.write_bytes(b"".join(lines))
    again = PartialResults(folder)
    assert again.done() == {0, 2}
    again.add(1, "again")
    assert list(again.in_order()) == [(0, ["payload", 0]), (1, "again"), (2, ["payload", 2])]


def test_a_provisional_block_is_done_for_its_own_start_only(folder: Path):
    """Two processes of one start, then two of the next, of which one has checked its block again."""
    first, its_twin = PartialResults(folder, 0, "s1"), PartialResults(folder, 1, "s1")
    first.add(0, "final")
    first.add(2, "unreadable", provisional=True)
    its_twin.add(1, "unreadable", provisional=True)
    its_twin.add(3, "unreadable", provisional=True)
    assert first.done() == its_twin.done() == {0, 1, 2, 3}
    assert list(first.provisional()) == []

    second, other = PartialResults(folder, 0, "s2"), PartialResults(folder, 1, "s2")
    assert second.done() == other.done() == {0}
    assert list(other.provisional()) == [(1, "unreadable"), (2, "unreadable"), (3, "unreadable")]
    other.add(1, "readable now")
    other.add(3, "still unreadable", provisional=True)
    assert second.done() == {0, 1, 3}
    third = PartialResults(folder, 0, "s3")
    assert third.done() == {0, 1}
    assert [payload for _, payload in second.in_order()] == ["final", "readable now", "unreadable", "still unreadable"]


def test_provisional_blocks_of_machines_that_take_part_in_this_start_count(folder: Path):
    PartialResults(folder, 1, "othermachine").add(1, "unreadable", provisional=True)
    results = PartialResults(folder, 0, "thismachine")
    assert results.done() == set()
    results.starts.add("othermachine")
    assert results.done() == {1}


def test_a_full_disk_leaves_no_line_that_looks_complete(tmp_path: Path):
    out = tmp_path / "out"
    with mounted(out, "size=64k"):
        results = PartialResults(out / PARTIAL_RESULTS_DIR / "infer-1")
        results.add(0, "small")
        with pytest.raises(StorageError, match=r"\.tsv: cannot be written \(No space left on .*; the disk is full"):
            results.add(1, "x" * 100_000)
        assert PartialResults(results.folder).done() == {0}
        assert files(results.folder)[0].read_bytes() == line(0, "small")
        # the incomplete line does not take the space of the failure report
        (out / "monitor.txt").write_bytes(b"x" * 30_000)
        results.add(2, "after")
        assert list(results.in_order()) == [(0, "small"), (2, "after")]


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        PartialResults(tmp_path / "file" / "mining-1").add(0, None)


WRITER = """
import sys
from pathlib import Path
from ymir_detectron2.contract.partial_results import PartialResults
results = PartialResults(Path(sys.argv[1]))
for block in range(10**9):
    results.add(block, [block] * 2000)
"""


def test_a_process_that_is_killed_while_it_writes(folder: Path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], cwd=PROJECT_DIR)
    results = PartialResults(folder)
    deadline_s = time.monotonic() + 30
    while len(results.done()) < 50:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    done = results.done()
    assert done == set(range(len(done)))
    assert list(results.in_order()) == [(block, [block] * 2000) for block in range(len(done))]


def test_only_the_results_of_the_same_kind_with_other_settings_are_removed(tmp_path: Path):
    above = tmp_path / PARTIAL_RESULTS_DIR
    all_results = {name: PartialResults(above / name) for name in ("mining-a", "mining-b", "infer-a", "mining-cald-a")}
    for results in all_results.values():
        results.add(0, None)
    all_results["mining-b"].remove_others()
    assert sorted(path.name for path in above.iterdir()) == ["infer-a", "mining-b", "mining-cald-a"]
    remove_partial_results(tmp_path)
    remove_partial_results(tmp_path)
    assert not above.exists()
    all_results["mining-a"].remove_others()


@pytest.mark.parametrize(
    ("machine_rank", "mark", "stays"),
    [(0, None, False), (0, marker_name(0, "f00"), False), (1, None, False), (1, marker_name(0, "f00"), True),
     (1, marker_name(10, "f00"), False)],
)  # fmt: skip
def test_a_finished_task_removes_its_folder_unless_machine_0_may_read_there(
    folder: Path, machine_rank: int, mark: str | None, stays: bool
):
    PartialResults(folder).add(0, None)
    if mark:
        (folder / mark).touch()
    remove_partial_results(folder.parent.parent, machine_rank)
    assert folder.parent.exists() == stays


def test_a_million_candidates(folder: Path):
    """31,250 blocks in eight files."""
    folder.mkdir(parents=True)
    payload = [[f"/in/assets/{number:040x}.jpg", -0.123456] for number in range(32)]
    for rank in range(8):
        with (folder / f"{rank:04d}-x-{rank}.tsv").open("wb") as file:
            file.writelines(line(block, payload) for block in range(rank, 31_250, 8))
    results = PartialResults(folder)
    started_s = time.process_time()
    assert len(results.done()) == 31_250
    assert sum(1 for _ in results.in_order()) == 31_250
    assert time.process_time() - started_s < 10


def test_a_fifo_among_the_results_is_left_out(tmp_path: Path):
    results = PartialResults(tmp_path / "mining-1")
    results.add(0, "first")
    os.mkfifo(tmp_path / "mining-1" / "0009-a-b.tsv")
    assert list(PartialResults(tmp_path / "mining-1").in_order()) == [(0, "first")]


def checked(content: bytes) -> bytes:
    return content + b"\t%08x\n" % zlib.crc32(content)


@pytest.mark.parametrize(
    "damaged",
    [
        b"\t00000000\n", checked(b""), checked(b"x\t[]"), checked(b"3"), checked(b"3\t["), checked(b"-3\t[]"),
        checked(b"3\t" + b"[" * 100_000), checked(b"9" * 5000 + b"\t[]"), checked(b"3!\t[]"), checked(b"1\t[]"),
        checked(b"3\t[\xff]"),
    ],
    ids=["none", "empty", "no number", "no results", "cut", "negative", "deep", "digits", "mark", "order", "bytes"],
)  # fmt: skip
def test_a_line_that_is_none_is_passed_over_whatever_its_checksum(folder: Path, damaged: bytes):
    folder.mkdir(parents=True)
    (folder / "0000-aa-bb.tsv").write_bytes(line(1, "a") + line(2, "b") + damaged + line(4, "c"))
    results = PartialResults(folder)
    assert results.done() == {1, 2, 4}
    assert list(results.in_order()) == [(1, "a"), (2, "b"), (4, "c")]
    assert [block for lines in results.lines() for block, _ in lines] == [1, 2, 4]


def test_what_cannot_be_of_this_task_is_done_again(folder: Path):
    folder.mkdir(parents=True)
    (folder / "0000-aa-bb.tsv").write_bytes(line(0, "a") + line(1, 5) + line(2, "b"))
    results = PartialResults(folder, accepts=lambda block, payload: block < 2 and type(payload) is str)
    assert results.done() == {0}
    results.add(1, "c")
    assert list(results.in_order()) == [(0, "a"), (1, "c")]


def test_each_line_of_an_earlier_start_is_judged_once_and_those_of_this_start_never(folder: Path):
    """The blocks on disk are counted after each block: reading them again would take quadratic time."""
    earlier = PartialResults(folder, start="earlier")
    for block in range(4):
        earlier.add(block, "of another task" if block % 2 else "mine")
    judged: list[int] = []

    def accepts(block: int, payload: Any) -> bool:
        judged.append(block)
        return payload == "mine"

    results = PartialResults(folder, start="now", accepts=accepts)
    for block in (1, 3):
        results.done()
        results.add(block, "made now")
    assert results.done() == {0, 1, 2, 3}
    assert judged == [0, 1, 2, 3]
