"""How failures end: other libraries' errors translated, one clear last line, a code beside the progress."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.platform_reader import read_monitor
from ymir_detectron2 import errors
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.errors import ExecutorError, StorageError
from ymir_detectron2.verdict import as_executor_error, death_of_reader, report_failure

CODES = {
    errors.ExecutorError: 160004, errors.ConfigError: 300001, errors.DatasetError: 300002, errors.ImageError: 300003,
    errors.ModelError: 300004, errors.ObjectTypeError: 300005, errors.GpuKernelError: 300101,
    errors.NoGpuError: 300102, errors.OutOfMemoryError: 300103, errors.NonFiniteLossError: 300201,
    errors.NetworkError: 300301, errors.StorageError: 160004, errors.StoppedError: 160004,
}  # fmt: skip


def test_every_class_of_the_tree_has_the_code_of_the_platform():
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {cls: cls.code for cls in classes if issubclass(cls, ExecutorError)} == CODES


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        pytest.param(MemoryError(), 300103, "memory ran out", id="main memory"),
        pytest.param(RuntimeError("CUDA out of memory. Tried to"), 300103, "lower batch_size", id="gpu memory"),
        pytest.param(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 300103,
                     "lower batch_size", id="torch on the cpu"),
        pytest.param(RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. "), 300103, "num_workers",
                     id="a reader killed"),
        pytest.param(RuntimeError("DataLoader worker (pid 5) is killed by signal: Bus error. It is possible"), 300103,
                     "num_workers", id="shared memory"),
        pytest.param(RuntimeError("CUDA error: no kernel image is available for execution"), 300101, "flavour",
                     id="no kernels"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), 160004, "the disk is full", id="full disk"),
        pytest.param(OSError(errno.EROFS, "Read-only", "/out/a"), 160004, "/out/a: cannot be written", id="read-only"),
        pytest.param(ValueError("a\nb"), 160004, "unexpected failure (ValueError: a b)", id="anything else"),
        pytest.param(KeyError("x" * 1000), 160004, "...", id="a long one"),
    ],
)  # fmt: skip
def test_errors_of_other_libraries_are_translated(error: Exception, code: int, words: str):
    known = as_executor_error(error)
    assert known.code == code
    assert words in str(known)
    assert "\n" not in str(known)
    assert len(str(known)) < 450


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "mount the output folder"), (errno.EIO, "check the output")],
)
def test_a_write_error_says_what_to_do(number: int, remedy: str):
    assert remedy in str(StorageError.from_os_error("/out/a", OSError(number, "reason")))


def test_the_reason_comes_last_and_its_details_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    monitor = Monitor(tmp_path / "monitor.txt", "t1")
    monitor.report(0.3)
    assert report_failure(monitor, errors.ModelError("a.pth:\tdoes not fit\ntable line 1\ntable line 2")) == 1
    assert capsys.readouterr().out.splitlines() == ["table line 1", "table line 2", "ERROR 300004: a.pth: does not fit"]
    line = read_monitor((tmp_path / "monitor.txt").read_text())
    assert (line.percent, line.state, line.state_code) == (0.3, 2, 300004)
    assert line.state_message == "a.pth: does not fit"


def test_a_verdict_that_cannot_be_written_is_still_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("no folder")
    assert report_failure(Monitor(tmp_path / "file" / "monitor.txt", "t1"), ValueError("boom")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("the code of this failure could not be written: ")
    assert lines[-1].startswith("ERROR 160004: unexpected failure (ValueError: boom)")


def test_a_file_name_that_is_no_text_does_not_hide_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    error = errors.DatasetError("/in/caf\udce9.jpg: gone")
    report_failure(Monitor(tmp_path / "monitor.txt", "t1"), error)
    assert capsys.readouterr().out == "ERROR 300002: /in/caf\\udce9.jpg: gone\n"
    assert read_monitor((tmp_path / "monitor.txt").read_text(encoding="utf-8")).state_message.endswith("gone")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", True),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", True),
        ("could not load the font", False),
    ],
)
def test_a_reader_that_died_is_told_from_a_picture_that_cannot_be_drawn(text: str, expected: bool):
    error = RuntimeError(text)
    assert death_of_reader(error) is (error if expected else None)


def test_a_reader_that_died_while_a_library_was_imported():
    """torch raises from a signal handler: compiled modules turn that into an ImportError of their own."""
    death = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    error = ImportError("initialization failed")
    error.__cause__ = death
    assert death_of_reader(error) is death
