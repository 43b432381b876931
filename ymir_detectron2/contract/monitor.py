"""monitor.txt: the progress of the task, and its error code when it has failed.

    t0001 \\t 1700000000.123 \\t 0.4200 \\t 2                                          running, 42 %
    t0001 \\t 1700000000.123 \\t 0.4200 \\t 2 \\t 300103 \\t GPU memory ran out ...      failed

The state in column 4 is always 2 (running). State 3 (done) makes YMIR 1.1 to 2.2 end the task before the model is
packed, and state 4 (error) makes all releases end it before a stage is packed. Failure is the code in column 5 together
with the exit status. The platform reads the file every 20 s and ends a task whose file it cannot parse, so it is
replaced atomically.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

from ..atomic_file import atomic_write
from ..errors import StorageError, printable
from ..untrusted_files import open_own, open_regular

RUNNING = 2
_MAX_CODE = 1 << 31  # the platform keeps 32 bits
_MAX_LINE_BYTES = 1 << 16  # far more than any sentence
_SMALLEST_STEP = 0.001  # at most a thousand writes per task, even for a million candidates


class MonitorLine(NamedTuple):
    """The first line of monitor.txt."""

    fraction: float
    code: int
    message: str


class Monitor:
    """Writes the progress of one task, or of one step of it as a share of the whole."""

    def __init__(self, path: Path, task_id: str, first: float = 0.0, last: float = 1.0) -> None:
        """
        Args:
            path: monitor.txt.
            task_id: column 1.
            first, last: progress of the task in [0, 1] at the beginning and at the end of this step.
        """
        self._path = path
        # a tab or a line break in the id would shift the columns, and so would an empty id
        self._task_id = " ".join(task_id.split()) or "-"
        self._first = first
        self._last = last
        self._written = -1.0

    @property
    def folder(self) -> Path:
        """Where it is: the output folder."""
        return self._path.parent

    @property
    def reached(self) -> float:
        """The progress of this step that was reported last, in [0, 1]."""
        share = self._last - self._first
        return min(max((self._written - self._first) / share, 0.0), 1.0) if share else 1.0

    def report(self, fraction: float) -> None:
        """Report the progress of this step, in [0, 1]. Out of range is clipped; NaN and going back are ignored."""
        if math.isnan(fraction):
            return
        # the platform stores the number unchecked, and its own schema then fails for anything outside [0, 1]
        total = self._first + (self._last - self._first) * min(max(fraction, 0.0), 1.0)
        if total - self._written >= _SMALLEST_STEP or (total == self._last and total > self._written):
            # before the first write the file is that of an earlier run; later, another process may have failed
            line = read_monitor(self._path) if self._written >= 0 else None
            if line is None or not line.code:
                self._write(total)
            self._written = total

    def fail(self, code: int, message: str, *, replaces: bool = False) -> None:
        """Write the error code next to the progress that was reached.

        An error code that is already there is kept, unless `replaces`.
        """
        # the first to fail knows the cause best: a child before its parent, one process before its siblings
        line = read_monitor(self._path)
        if line is not None and line.code and not replaces:
            return
        reached = max(self._written, self._first, line.fraction if line else 0.0)
        self._write(reached, f"\t{code}\t{' '.join(message.split())}")

    def take_back_failure(self, fraction: float) -> None:
        """Replace an error code by progress, in [0, 1] of the whole task: the work has ended well after all."""
        self._write(fraction)

    def _write(self, fraction: float, failure: str = "") -> None:
        line = printable(f"{self._task_id}\t{time.time():.6f}\t{fraction:.4f}\t{RUNNING}{failure}\n")
        try:
            with atomic_write(self._path) as file:
                file.write(line)
        except StorageError:
            if not self._overwrite(line.encode("utf-8")):
                raise

    def _overwrite(self, line: bytes) -> bool:
        """Write into the block that the old file has: a full disk has none for a new file. Return whether it worked."""
        try:
            with open(self._path, "r+b", buffering=0, opener=open_own) as file:
                is_complete = file.write(line) == len(line)  # one call: readers find the old line or the new one
                file.truncate()
        except OSError:
            return False
        return is_complete


def read_monitor(path: Path) -> MonitorLine | None:
    """Return the first line of monitor.txt, or None where there is none that the platform could parse."""
    try:
        with open_regular(path) as file:
            columns = file.readline(_MAX_LINE_BYTES).decode("utf-8").rstrip("\n").split("\t")
        timestamp_s, fraction, state = float(columns[1]), float(columns[2]), int(columns[3])
        code = int(columns[4]) if len(columns) > 4 else 0
    except (OSError, ValueError, IndexError):
        return None
    # of NaN each comparison is false
    is_readable = columns[0] and 0 <= timestamp_s < math.inf and 0 <= fraction <= 1 and state == RUNNING
    if not is_readable or not 0 <= code < _MAX_CODE:
        return None
    return MonitorLine(fraction, code, columns[5] if len(columns) > 5 else "")
