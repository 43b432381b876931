"""start.py as a child of the command line: the same task code as in the container, on the terminal of the user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from ..errors import ExecutorError
from ..supervision import FailureReport, ReportPipe
from ..version import PROJECT_DIR

_PASSED_ON = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}
"""What arrives -> what start.py gets. SIGHUP: the terminal was closed, and the work is to be saved."""


class Ended(NamedTuple):
    """How a task has ended."""

    status: int
    """Exit status; 0 after a success."""
    reason: FailureReport = FailureReport(0, "")
    """After a failure."""
    was_stopped: bool = False


def run_start(env_file: Path) -> Ended:
    """Run start.py on a task folder to its end; its log and its progress bar are on this terminal.

    Ctrl-C, and what else stops a program, is passed on once for each time: start.py then saves the work.
    """
    command = [sys.executable, str(PROJECT_DIR / "start.py"), "--env", str(env_file)]
    received: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        child.send_signal(_PASSED_ON[signal.Signals(number)])

    sys.stdout.flush()
    with ReportPipe() as pipe:
        # until both are ready; start.py blocks them itself until it can handle them
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        # in its own session: else a Ctrl-C would reach it from the terminal, and a second time from here
        child = subprocess.Popen(  # noqa: S603 - this project's own script
            command, env={**os.environ, **pipe.environment()}, stdin=pipe.write_fd, start_new_session=True
        )
        handlers = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            status = child.wait()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        reports = pipe.read()
    if status == 0:
        return Ended(0)
    unknown = ExecutorError(f"start.py ended with exit status {status} and gave no reason; see the lines above")
    reason = reports[-1] if reports else FailureReport(unknown.code, str(unknown))
    return Ended(128 + received[0] if received else 1, reason, bool(received))
