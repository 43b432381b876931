"""The faults: a case is known by its seed, the shim does what a disk may do, and what must not happen is noticed."""

from __future__ import annotations

import errno
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from chaos.case import FAULTS, Case
from chaos.disk_shim import DiskShim, Watch
from chaos.faults import Fault, Scene
from chaos.invariants import check_end, check_outcome, check_results
from chaos.power_cut import damage_contents, read_journal, undo_names
from chaos.running import Start, StartOptions
from chaos.tasks import Reference
from tests.running import PROJECT_DIR

MONITOR = "t0\t1700000000.5\t{}\t2{}\n"
CHINESE = "错误 160004：容器错误；请查看日志。"
REASON = f"ERROR 160004: /out: the disk is full; free some space\n{CHINESE}"
RESULT = """
best_stage_name: s2
mAP: 0.5
model_stages:
  s2: {stage_name: s2, files: [s2.pth], timestamp: %d, mAP: 0.5, mAR: 0.5}
"""


# --- cases ----------------------------------------------------------------------------------------


def test_a_seed_always_means_the_same_case():
    assert str(Case(77)) == str(Case(77)) != str(Case(78))


def test_some_seeds_in_a_row_have_all_faults_with_all_tasks():
    cases = [Case(seed) for seed in range(200)]
    assert len({(case.faults[0], case.task) for case in cases}) == 4 * len(FAULTS)
    assert len({(case.faults[0], case.turn) for case in cases}) == len(cases)
    assert {case.processes for case in cases} == {1, 2}
    assert 0 < sum(len(case.faults) == 2 for case in cases) < len(cases) / 2


# --- the end of a start ---------------------------------------------------------------------------


def end_of(tmp_path: Path, code: str, fault: type[Fault] = Fault) -> list[str]:
    """Return what is found wrong with a start that consists of this code."""
    script = tmp_path / "script.py"
    script.write_text(f"import os, signal, subprocess, sys\n{code}")
    (tmp_path / "out").mkdir(exist_ok=True)
    start = Start(tmp_path, "test", StartOptions(script=script))
    assert start.wait(60)
    scene = Scene(tmp_path, Reference("infer", 1, tmp_path, 1.0, {}), None)
    return list(check_end(start, fault(random.Random(0), scene, 0)))


def say(monitor: str, last_line: str, status: int) -> str:
    return f"open('out/monitor.txt', 'w').write({monitor!r})\nprint({last_line!r})\nsys.exit({status})"


CODE = "\t160004\t/out: the disk is full; free some space"


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        (say(MONITOR.format(1.0, ""), "done", 0), None),
        (say(MONITOR.format(0.5, CODE), REASON, 1), None),
        (say(MONITOR.format(0.5, ""), "done", 0), "it succeeded, and monitor.txt says"),
        (say(MONITOR.format(1.0, CODE), "done", 0), "it succeeded, and monitor.txt says"),
        (say(MONITOR.format(1.0, ""), REASON, 0), "it succeeded, and the log ends with"),
        (say(MONITOR.format(1.0, ""), REASON.partition("\n")[0], 0), "it succeeded, and the log ends with"),
        (say(MONITOR.format(0.5, CODE), "Killed", 1), "the end of the log is wrong: expected an English and a"),
        (say(MONITOR.format(0.5, CODE), REASON.partition("\n")[0], 1), "wrong: expected an English and a Chinese"),
        (say(MONITOR.format(0.5, CODE), f"{REASON}\n{CHINESE}", 1), "wrong: expected an English and a Chinese"),
        (say(MONITOR.format(0.5, CODE), REASON.replace("误 16", "误 30"), 1), "the end of the log is wrong: two codes"),
        (say(MONITOR.format(0.5, ""), REASON, 1), "it failed, and monitor.txt says"),
        (say(MONITOR.format(0.5, CODE), REASON.replace("full", "slow"), 1), "and monitor.txt says"),
        (say(MONITOR.format(0.5, CODE), f"{REASON}\n{REASON}", 1), "the end of the log is wrong: there 2 times"),
        (say("", "done", 0), "monitor.txt must never be seen empty"),
        (say(MONITOR.format(1.0, ""), "a bug; please report it\ndone", 0), "the log asks to report a bug"),
        ("sys.exit(3)", "start.py ended with 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "start.py ended with -9"),
    ],
)
def test_a_start_that_ends_otherwise_than_it_says(tmp_path: Path, code: str, finding: str | None):
    found = end_of(tmp_path, code)
    assert len(found) == (finding is not None), found
    assert finding is None or finding in found[0]


def test_what_a_fault_excuses_is_not_wrong(tmp_path: Path):
    class Excuse(Fault):
        excuses_death = excuses_log = excuses_monitor = True

    assert end_of(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", Excuse) == []
    assert end_of(tmp_path, say("", "half a li", 1), Excuse) == []


def test_a_process_that_outlives_the_start_is_found_and_ended(tmp_path: Path):
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True)\n"
    found = end_of(tmp_path, child + say(MONITOR.format(1.0, ""), "done", 0))
    assert len(found) == 1
    assert "outlives start.py" in found[0]
    assert "time.sleep(99)" in found[0]


def test_a_start_that_hangs_is_ended(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import time\ntime.sleep(99)")
    start = Start(tmp_path, "test", StartOptions(script=script))
    assert not start.wait(0.5)
    assert start.process.returncode == -signal.SIGKILL
    assert start.family() == []


# --- results --------------------------------------------------------------------------------------


def fill(out_dir: Path, timestamp: int = 1) -> None:
    (out_dir / "models" / "s2").mkdir(parents=True)
    (out_dir / "tensorboard").mkdir()
    (out_dir / "models" / "result.yaml").write_text(RESULT % timestamp)
    (out_dir / "models" / "s2.pth").write_bytes(b"weights")
    (out_dir / "result.tsv").write_text("a.jpg\t0.5\n")
    (out_dir / "monitor.txt").write_text(MONITOR.format(1.0, ""))
    (out_dir / "tensorboard" / f"events.{timestamp}").touch()


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    fill(tmp_path / "reference" / "out")
    return Reference("train", 1, tmp_path / "reference", 1.0, {})


def test_results_that_differ_in_times_only_are_the_same(tmp_path: Path, reference: Reference):
    fill(tmp_path / "out", timestamp=2)
    assert list(check_outcome(tmp_path / "out", reference)) == []
    assert list(check_results(tmp_path / "out", reference)) == []


@pytest.mark.parametrize(
    ("change", "in_the_end", "before"),
    [
        (lambda out: (out / "result.tsv").unlink(), "result.tsv is missing", ""),
        (lambda out: (out / "result.tsv").write_text("a.j"), "result.tsv differs", "result.tsv differs"),
        (lambda out: (out / "models" / "s2.pth").write_bytes(b""), "s2.pth differs", "s2.pth differs"),
        (lambda out: (out / "models" / "s3.pth").touch(), "s3.pth is additional", ""),
        (lambda out: (out / ".result.tsv.1.tmp").touch(), "left over: .result.tsv.1.tmp", ""),
        (lambda out: (out / "models" / "s2.pth").unlink(), "s2.pth is missing", "s2.pth must be a file"),
    ],
)
def test_results_that_are_incomplete_or_left_over(
    tmp_path: Path, reference: Reference, change: Callable[[Path], object], in_the_end: str, before: str
):
    fill(tmp_path / "out")
    change(tmp_path / "out")
    assert [in_the_end in found for found in check_outcome(tmp_path / "out", reference)] == [True]
    assert [before in found for found in check_results(tmp_path / "out", reference)] == [True] * bool(before)


@pytest.mark.parametrize("name", ["training-history.json", "models/attachments/evaluation/evaluation.json"])
@pytest.mark.parametrize("content", [None, b"of another stage"])
def test_what_pages_are_made_of_is_the_same_unless_a_fault_may_cost_it(
    tmp_path: Path, reference: Reference, name: str, content: bytes | None
):
    fill(tmp_path / "out")
    for folder, written in ((reference.folder / "out", b"whole"), (tmp_path / "out", content)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if written is not None:
            (folder / name).write_bytes(written)
    finding = f"{name} {'is missing' if content is None else 'differs'}"
    assert list(check_outcome(tmp_path / "out", reference)) == [finding]
    assert list(check_outcome(tmp_path / "out", reference, excuses_extras=True)) == []


# --- the disk -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> DiskShim:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return DiskShim(tmp_path_factory.mktemp("shim"))


def run(watch: Watch, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with `out`, the watched folder."""
    head = f"import os, sys\nfrom pathlib import Path\nout = Path({str(watch.folder)!r})\n"
    environment = {"PATH": "", "PYTHONPATH": str(PROJECT_DIR), **watch.options.environment}
    return subprocess.run(
        [sys.executable, "-c", head + code], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_each_kind_of_operation_below_the_folder_is_counted_and_no_other(tmp_path: Path, shim: DiskShim):
    (tmp_path / "out").mkdir()
    watch = shim.watch(tmp_path / "out", tmp_path / "disk")
    code = """
for folder in (out, out.parent):
    (folder / "d").mkdir()
    with (folder / "d" / "a").open("wb", buffering=0) as file:
        file.write(b"a")
        file.write(b"b")
        os.fsync(file.fileno())
        os.ftruncate(file.fileno(), 1)
    (folder / "d" / "a").read_bytes()
    (folder / "d" / "a").rename(folder / "d" / "b")
    (folder / "d" / "b").unlink()
"""
    assert run(watch, code).stderr == ""
    assert watch.operations() == {"o": 1, "w": 2, "t": 1, "s": 1, "r": 1, "u": 1, "d": 1}


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_an_error_comes_at_the_operation_that_was_asked_for(tmp_path: Path, shim: DiskShim, name: str):
    (tmp_path / "out").mkdir()
    number = getattr(errno, name)
    watch = shim.watch(tmp_path / "out", tmp_path / "disk", action=str(number), kinds="w", first=2, last=3)
    code = """
with (out / "a").open("wb", buffering=0) as file:
    for number in range(6):
        try:
            file.write(b"%d" % number)
        except OSError as error:
            print(error.errno)
"""
    assert run(watch, code).stdout.split() == [str(number)] * 2
    assert (tmp_path / "out" / "a").read_bytes() == b"0145"
    assert watch.is_reached()


def test_short_and_interrupted_writes_lose_nothing_of_a_file(tmp_path: Path, shim: DiskShim):
    (tmp_path / "out").mkdir()
    watch = shim.watch(tmp_path / "out", tmp_path / "disk", is_short=True)
    assert run(watch, '(out / "a").write_bytes(bytes(range(256)) * 9)').stderr == ""
    assert (tmp_path / "out" / "a").read_bytes() == bytes(range(256)) * 9
    assert watch.operations()["w"] > 10


def cut_power(tmp_path: Path, shim: DiskShim, code: str, seed: int) -> Path:
    """Run code on files that are on disk, and damage what it has not synced; return the folder."""
    out_dir = tmp_path / f"out{seed}"
    out_dir.mkdir()
    (out_dir / "old").write_bytes(b"old")
    watch = shim.watch(out_dir, tmp_path / "disk", has_journal=True)
    assert run(watch, code).stderr == ""
    operations, rng = read_journal(watch.journal), random.Random(seed)
    undo_names(operations, watch.kept, rng)
    damage_contents(operations, out_dir, rng)
    return out_dir


RENAMED = "(out / 'new').write_bytes(b'new')\n(out / 'new').rename(out / 'old')"


def test_after_a_power_cut_a_file_that_was_not_synced_may_be_anything(tmp_path: Path, shim: DiskShim):
    contents = {(cut_power(tmp_path, shim, RENAMED, seed) / "old").read_bytes() for seed in range(20)}
    assert b"old" in contents
    assert min(map(len, contents)) < 3
    assert any(content.endswith(b"\0") for content in contents)


def test_after_a_power_cut_what_was_removed_may_be_there_again(tmp_path: Path, shim: DiskShim):
    left = {(cut_power(tmp_path, shim, "(out / 'old').unlink()", seed) / "old").exists() for seed in range(20)}
    assert left == {True, False}


def test_after_a_power_cut_what_was_synced_is_there(tmp_path: Path, shim: DiskShim):
    """By the project's own way of writing, and by one line that is appended to a file afterwards and not synced."""
    code = """
from ymir_detectron2.atomic_file import atomic_write
with atomic_write(out / "old") as file:
    file.write("new")
with (out / "old").open("ab") as file:
    file.write(b" and more")
"""
    contents = {(cut_power(tmp_path, shim, code, seed) / "old").read_bytes() for seed in range(12)}
    assert all(content.startswith(b"new") for content in contents)
    assert min(map(len, contents)) < len("new and more")
    assert any(content.endswith(b"\0") for content in contents)


# --- all of it ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_power_cut_and_a_full_disk_are_tried_and_counted(tmp_path: Path, shim: DiskShim):
    chosen = ["--seed", "0", "--cases", "2", "--tasks", "infer", "--faults", "power-cut", "disk-full"]
    command = [sys.executable, "-m", "chaos", *chosen, "--work", str(tmp_path)]
    outcome = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "all" in outcome.stdout.splitlines()[-1]
    assert "2 tried    0 violated" in outcome.stdout.splitlines()[-1]
    assert not list(tmp_path.glob("seed-*"))
