"""Failures: errors of other libraries translated, the reason as the last line of the log, the code in monitor.txt."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.error_lines import error_line
from tests.platform_reader import read_monitor
from tests.running import PROJECT_DIR
from ymir_detectron2 import errors
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.failure import as_executor_error, find_worker_death, report_failure
from ymir_detectron2.supervision import FailureReport, ReportPipe


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        pytest.param(MemoryError(), 300103, "memory ran out", id="main memory"),
        pytest.param(RuntimeError("CUDA out of memory. Tried to"), 300103, "lower batch_size", id="gpu memory"),
        pytest.param(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 300103,
                     "lower batch_size", id="torch on the cpu"),
        pytest.param(RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. "), 300103, "num_workers",
                     id="worker killed"),
        pytest.param(RuntimeError("DataLoader worker (pid 5) is killed by signal: Bus error. It is possible"), 300103,
                     "num_workers", id="shared memory"),
        pytest.param(RuntimeError("DataLoader worker (pid(s) 16681) exited unexpectedly"), 300103, "num_workers",
                     id="killed worker whose signal comes later"),
        pytest.param(RuntimeError("CUDA error: no kernel image is available for execution"), 300101, "flavour",
                     id="no kernels"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), 160004, "the disk is full", id="full disk"),
        pytest.param(OSError(errno.EROFS, "Read-only", "/out/a"), 160004, "/out/a: cannot be written", id="read-only"),
        pytest.param(OSError(errno.EIO, "Input/output", "/out/a"), 160004, "/out/a: cannot be written", id="broken"),
        pytest.param(OSError(errno.ENOSPC, "No space", b"/out/a\xff"), 160004, "/out/a\udcff: cannot be written",
                     id="a path in bytes, as TensorBoard has it"),
        pytest.param(OSError(errno.ESTALE, "Stale", "/out/a"), 160004, "check the output folder", id="file server"),
        pytest.param(ImportError("libtorch_cpu.so: failed to map segment from shared object"), 300103,
                     "give the container more memory", id="no memory for a library"),
        pytest.param(PermissionError(errno.EACCES, "Permission denied", "/in/a"), 160004,
                     "/in/a: the system refuses an operation (Permission denied); check", id="permission"),
        pytest.param(OSError(errno.ENAMETOOLONG, "File name\n too long", "/in/a\nb"), 160004, "/in/a b: ", id="name"),
        pytest.param(OSError(errno.EMFILE, "Too many open files"), 160004, "--ulimit nofile", id="open files"),
        pytest.param(BlockingIOError(errno.EAGAIN, "Resource"), 160004, "--pids-limit", id="no further process"),
        pytest.param(RuntimeError("can't start new thread"), 160004, "--pids-limit", id="no further thread"),
        pytest.param(OSError("no number"), 160004, "the system refuses an operation (no number)", id="no number"),
        pytest.param(ValueError("a\nb"), 160004, "unexpected failure (ValueError: a b)", id="anything else"),
        pytest.param(KeyError("x" * 1000), 160004, "...", id="long text"),
    ],
)  # fmt: skip
def test_errors_of_other_libraries_are_translated(error: Exception, code: int, words: str):
    known = as_executor_error(error)
    assert known.code == code
    assert words in str(known)
    assert "\n" not in str(known)
    assert len(str(known)) < 450


def test_the_reason_comes_last_and_its_details_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    monitor = Monitor(tmp_path / "monitor.txt", "t1")
    monitor.report(0.3)
    assert report_failure(monitor, errors.ModelError("a.pth:\tdoes not fit\ntable line 1\ntable line 2")) == 1
    output = capsys.readouterr().out
    assert output.splitlines()[:-1] == ["table line 1", "table line 2", "ERROR 300004: a.pth: does not fit"]
    assert error_line(output) == "ERROR 300004: a.pth: does not fit"
    line = read_monitor((tmp_path / "monitor.txt").read_text())
    assert (line.percent, line.state, line.state_code) == (0.3, 2, 300004)
    assert line.state_message == "a.pth: does not fit"


def test_a_code_that_cannot_be_written_is_still_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("no folder")
    assert report_failure(Monitor(tmp_path / "file" / "monitor.txt", "t1"), ValueError("boom")) == 1
    output = capsys.readouterr().out
    assert output.splitlines()[-3].startswith("the code of this failure could not be written: ")
    assert error_line(output).startswith("ERROR 160004: unexpected failure (ValueError: boom)")


def test_an_error_code_that_is_there_is_kept_unless_it_is_replaced(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    report_failure(Monitor(path, "t1"), errors.StoppedError("stopped"))
    for replaces, code in ((False, 160004), (True, 300004)):
        report_failure(Monitor(path, "t1"), errors.ModelError("a.pth: gone"), replaces=replaces)
        assert read_monitor(path.read_text()).state_code == code


FAIL = """
import sys
from pathlib import Path
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.failure import report_failure
try:
    raise ValueError("no box")
except ValueError as error:
    sys.exit(report_failure(Monitor(Path(sys.argv[1]), "t1"), error))
"""
REASON = "unexpected failure (ValueError: no box); the lines above say where; please report them"


@pytest.mark.parametrize("place", ["monitor.txt", "file/monitor.txt"], ids=["as usual", "no monitor.txt possible"])
def test_with_a_supervisor_the_last_line_is_left_to_it(tmp_path: Path, place: str):
    (tmp_path / "file").write_text("no folder")
    with ReportPipe() as pipe:
        failed = subprocess.run(
            [sys.executable, "-c", FAIL, str(tmp_path / place)], cwd=PROJECT_DIR, text=True, check=False,
            env={**os.environ, **pipe.environment()}, stdin=pipe.write_fd, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert pipe.read() == [FailureReport(160004, REASON)]
    assert failed.returncode == 1
    assert "ERROR" not in failed.stdout
    assert "错误" not in failed.stdout
    assert failed.stdout.splitlines()[-1] == "ValueError: no box"


def test_a_log_that_cannot_be_written_does_not_cost_the_code(tmp_path: Path):
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            [sys.executable, "-c", FAIL, str(tmp_path / "monitor.txt")], cwd=PROJECT_DIR, stdout=full, check=False
        )
    assert failed.returncode != 0
    assert read_monitor((tmp_path / "monitor.txt").read_text()).state_message == REASON


def test_a_file_name_that_is_no_text_does_not_hide_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    error = errors.DatasetError("/in/caf\udce9.jpg: gone")
    report_failure(Monitor(tmp_path / "monitor.txt", "t1"), error)
    assert error_line(capsys.readouterr().out) == "ERROR 300002: /in/caf\\udce9.jpg: gone"
    assert read_monitor((tmp_path / "monitor.txt").read_text(encoding="utf-8")).state_message.endswith("gone")


def test_a_lost_connection_is_reported_without_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is the consequence of a failure in another process, whose reason follows or precedes in the same log."""
    report_failure(Monitor(tmp_path / "monitor.txt", "t1"), RuntimeError("[../gloo.cc:1] Connection reset by peer"))
    output = capsys.readouterr().out
    assert len(output.splitlines()) == 2
    assert error_line(output) == (
        "ERROR 160004: another process of this task has ended, and with it this one; the reason is the other's"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", True),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", True),
        ("could not load the font", False),
    ],
)
def test_the_death_of_a_worker_is_recognised(text: str, expected: bool):
    error = RuntimeError(text)
    assert find_worker_death(error) is (error if expected else None)


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_the_death_of_a_worker_is_found_behind_another_error(link: str):
    """torch raises it from a signal handler: in the middle of an import it leads to an ImportError."""
    death = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    error = ImportError("initialization failed")
    setattr(error, link, death)
    assert find_worker_death(error) is death
