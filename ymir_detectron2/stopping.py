"""How the parent of a task passes a stop on to the step that is running, and waits for its end.

SIGTERM is `docker stop`, which kills after some seconds; SIGINT is Ctrl-C of a person, who waits.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import time
from typing import Callable, Iterator

from .stop_signal import StopSignal

logger = logging.getLogger(__name__)

_POLL_S = 0.1


def wait_for_child(
    child: subprocess.Popen[bytes], stop: StopSignal, *, patient_signal: signal.Signals, grace_s: float,
    report_overdue: Callable[[], None],
) -> int:  # fmt: skip
    """Wait for the end of a child; pass the first stop signal on to it, and kill it at the second one.

    Its process group is killed in the end, whatever happens: processes that it has left would still use GPU and /out.

    Args:
        child: in its own session.
        patient_signal: is passed on in place of SIGINT; SIGTERM is passed on as it is.
        grace_s: seconds after SIGTERM.
        report_overdue: called once, if the child has not ended by then. It is not killed: how long saving may take,
            only whoever stops the task knows, and enforces. After SIGINT nobody enforces anything: a person waits, and
            can press Ctrl-C again.
    """
    stops_passed_on = 0
    overdue_s = math.inf
    try:
        # WNOWAIT: until it is waited for below, nothing else can get its process id, which is that of the group
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(_POLL_S)
            if not stop.requested():
                continue
            if not stops_passed_on:
                is_patient = stop.name == "SIGINT"
                _announce_stop(stop.name, is_patient)
                # not its data-loading workers: when one of them dies, torch raises in the middle of a step
                child.send_signal(patient_signal if is_patient else signal.SIGTERM)
                stops_passed_on = stop.count
                overdue_s = math.inf if is_patient else time.monotonic() + grace_s
            elif stop.count > stops_passed_on:
                _leave_line_of_terminal(stop.name)
                break
            elif time.monotonic() > overdue_s:
                report_overdue()
                overdue_s = math.inf
    finally:
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Begin a process within this block with SIGINT blocked, until it can handle it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _announce_stop(name: str, is_patient: bool) -> None:
    if not is_patient:
        logger.warning("%s: asking the running step to save its work", name)
        return
    _leave_line_of_terminal(name)
    logger.warning("Ctrl-C: the step that is running may finish, and its work is saved, however long that takes;"
                   " a second Ctrl-C ends the task at once")  # fmt: skip


def _leave_line_of_terminal(name: str) -> None:
    """Begin a new line where the cursor is behind "^C", in the line of a progress bar, which belongs to the child."""
    if name == "SIGINT" and sys.stdout.isatty():
        print(flush=True)
