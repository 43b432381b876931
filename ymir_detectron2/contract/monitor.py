"""monitor.txt: how far the task is, and why it failed. Rewritten whole, never seen half-written.

    t0001 \\t 1700000000.123 \\t 0.4200 \\t 2                                          running, 42 %
    t0001 \\t 1700000000.123 \\t 0.4200 \\t 2 \\t 300103 \\t GPU memory ran out ...      failed

The state in column 4 is always 2: state 3 would end the task before the platform has packed the model, and state 4
before it has looked for one (contract, 3.1). Failure is told by the code in column 5 and the exit status.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

from ..atomic_file import atomic_write
from ..errors import printable

RUNNING = 2
_SMALLEST_STEP = 0.001  # a million candidates write a thousand times, not a million


class MonitorLine(NamedTuple):
    """The first line of monitor.txt."""

    fraction: float
    code: int
    message: str


class Monitor:
    """Writes the progress of one task, or of one of its steps as a part of the whole."""

    def __init__(self, path: Path, task_id: str, first: float = 0.0, last: float = 1.0) -> None:
        """
        Args:
            path: monitor.txt.
            task_id: column 1.
            first, last: where in [0, 1] this step begins and ends.
        """
        self._path = path
        self._task_id = " ".join(task_id.split()) or "-"
        self._first = first
        self._last = last
        self._written = -1.0

    def report(self, fraction: float) -> None:
        """Tell how much of this step is done, in [0, 1]. What is out of range is clipped, what goes back is ignored."""
        if math.isnan(fraction):
            return
        total = self._first + (self._last - self._first) * min(max(fraction, 0.0), 1.0)
        if total - self._written >= _SMALLEST_STEP or (total == self._last and total > self._written):
            # what stands there at first is of an earlier run; later, another process of this one may have failed
            line = read_monitor(self._path) if self._written >= 0 else None
            if line is None or not line.code:
                self._write(total)
            self._written = total

    def fail(self, code: int, message: str) -> None:
        """Leave the reason beside the progress that was reached. A reason that is there already stays."""
        line = read_monitor(self._path)
        if line is not None and line.code:
            return
        reached = max(self._written, self._first, line.fraction if line else 0.0)
        self._write(reached, f"\t{code}\t{' '.join(message.split())}")

    def _write(self, fraction: float, failure: str = "") -> None:
        with atomic_write(self._path, durable=False) as file:
            file.write(printable(f"{self._task_id}\t{time.time():.6f}\t{fraction:.4f}\t{RUNNING}{failure}\n"))


def read_monitor(path: Path) -> MonitorLine | None:
    """The first line of monitor.txt, or None where there is none that the platform could read."""
    try:
        columns = path.read_text(encoding="utf-8").split("\n", 1)[0].split("\t")
        code = int(columns[4]) if len(columns) > 4 else 0
        return MonitorLine(float(columns[2]), code, columns[5] if len(columns) > 5 else "")
    except (OSError, ValueError, IndexError):
        return None
