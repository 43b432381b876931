"""What binds a process to the one that started it, its supervisor: it reports its failure to it and dies with it.

start.py starts a script, or torch's launcher, which starts a process per GPU: both are supervisors. A failure is
reported through a pipe, which needs no disk. The pipe is the standard input of the child, the only file besides the log
that torch's launcher hands on; YMIR_SUPERVISOR=<process id>:<inode of the pipe> says so, and is inherited as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import stat
import threading
import time
from types import TracebackType
from typing import Iterator, NamedTuple

_VARIABLE = "YMIR_SUPERVISOR"
_STDIN = 0
_MAX_REPORT_BYTES = 4096  # PIPE_BUF of Linux, see pipe(7): no longer write is atomic
_PR_SET_PDEATHSIG = 1  # see prctl(2)
_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # found now: a forked child should not load libraries
_POLL_S = 1.0


class FailureReport(NamedTuple):
    """Why a process has failed: the code of the platform, and one line for its user."""

    code: int
    message: str


class ReportPipe:
    """The pipe for the reports of all children, in their supervisor. A context manager, which closes it."""

    def __init__(self) -> None:
        self._read_fd, self.write_fd = os.pipe()
        # neither end ever waits: the pipe is read when the child has ended, which a full one must not prevent
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self.write_fd, False)

    def environment(self) -> dict[str, str]:
        """Return the variable that a child with `write_fd` as its standard input has to get."""
        return {_VARIABLE: f"{os.getpid()}:{os.fstat(self.write_fd).st_ino}"}

    @contextlib.contextmanager
    def as_stdin(self) -> Iterator[None]:
        """Let all children that are started meanwhile inherit pipe and variable."""
        stdin_before, variable_before = os.dup(_STDIN), os.environ.get(_VARIABLE)
        os.dup2(self.write_fd, _STDIN)
        os.environ.update(self.environment())
        try:
            yield
        finally:
            os.dup2(stdin_before, _STDIN)
            os.close(stdin_before)
            del os.environ[_VARIABLE]
            if variable_before is not None:
                os.environ[_VARIABLE] = variable_before

    def read(self) -> list[FailureReport]:
        """Return the reports that have arrived since the last call, in order."""
        received = b""
        with contextlib.suppress(BlockingIOError):  # nothing more is there
            while chunk := os.read(self._read_fd, 1 << 16):
                received += chunk
        return [report for line in received.split(b"\n") if (report := _parse_report(line)) is not None]

    def __enter__(self) -> ReportPipe:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._read_fd)
        os.close(self.write_fd)


def report_to_supervisor(report: FailureReport) -> bool:
    """Send a report; return False if nobody reads it: there is no supervisor, it has died, or its pipe is full."""
    if _supervisor_pid() is None:
        return False
    # between two line ends, whatever another program has left there without one
    line = b"\n%b\n" % json.dumps(report._replace(message=_shorten(report.message))).encode("ascii")
    try:
        return os.write(_STDIN, line) == len(line)
    except OSError:
        return False


def _parse_report(line: bytes) -> FailureReport | None:
    """Return a report; None: another program has written to what it believes to be its standard input."""
    try:
        code, message = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    return FailureReport(code, message) if type(code) is int and type(message) is str else None


def _shorten(message: str) -> str:
    """Cut a message so that its report fits into one atomic write, or those of two processes could be mixed."""
    while len(json.dumps(message)) > _MAX_REPORT_BYTES - 64:  # of which the code and the brackets need some
        message = message[: len(message) * 3 // 4] + "..."
    return message


def die_with_supervisor() -> None:
    """Have this process and all that it forks, such as data-loading workers, killed once the supervisor has died.

    However it died; by SIGKILL, since all files are written atomically. Without a supervisor, do nothing. Called once.
    """
    supervisor_pid = _supervisor_pid()
    if supervisor_pid is not None:
        _die_with_parent(supervisor_pid)
        _bind_forks()


def _bind_forks() -> None:
    """Bind each forked process to the one that forks it: the request to the kernel is not inherited."""
    forking_pid: int | None = None

    def remember() -> None:
        nonlocal forking_pid
        # the kernel waits for the end of the thread that has forked: only the main one lives as long as its process
        forking_pid = os.getpid() if threading.current_thread() is threading.main_thread() else None

    def bind() -> None:
        if forking_pid is not None:
            _die_with_parent(forking_pid)

    os.register_at_fork(before=remember, after_in_child=bind)


def _die_with_parent(parent_pid: int) -> None:
    if _prctl is None or _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:  # not Linux
        threading.Thread(target=_poll_parent, args=(parent_pid,), daemon=True).start()
    _require_parent(parent_pid)  # it may have died before the call above


def _poll_parent(parent_pid: int) -> None:
    while True:
        _require_parent(parent_pid)
        time.sleep(_POLL_S)


def _require_parent(parent_pid: int) -> None:
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _supervisor_pid() -> int | None:
    """Return the process id of the supervisor; None: this process was started by something else."""
    pid, _, inode = os.environ.get(_VARIABLE, "").partition(":")
    try:
        stdin = os.fstat(_STDIN)
        # a process that has inherited the variable without the pipe has another parent
        return int(pid) if stat.S_ISFIFO(stdin.st_mode) and stdin.st_ino == int(inode) else None
    except (OSError, ValueError):  # no standard input; no such variable
        return None
