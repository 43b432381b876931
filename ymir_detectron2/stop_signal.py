"""Graceful shutdown: SIGTERM and SIGINT set a flag that is checked between steps, so no file is left half-written."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.name = ""
        """Of the last signal, e.g. "SIGTERM"; "" before the first one."""

    def install(self) -> StopSignal:
        """Handle SIGTERM and SIGINT from now on: they set the flag and do nothing else."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        return self

    def requested(self) -> bool:
        """Return whether a signal has arrived."""
        return bool(self.name)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
