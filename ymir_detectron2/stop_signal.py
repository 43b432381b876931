"""Graceful shutdown: SIGTERM and SIGINT set a flag that is checked between steps, so no file is left half-written."""

from __future__ import annotations

import signal
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.name = ""
        """Of the last signal, e.g. "SIGTERM"; "" before the first one."""
        self.count = 0
        """Signals so far."""

    def install(self) -> StopSignal:
        """Handle SIGTERM and SIGINT from now on: they set the flag and do nothing else."""
        for number in _NUMBERS:
            signal.signal(number, self._handle)
        # start.sh blocks them, so that those that come while Python starts wait for this moment
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)
        return self

    @staticmethod
    def hold_back() -> None:
        """Let signals wait until they are handled again, even by another program that takes the place of this one."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)

    def requested(self) -> bool:
        """Return whether a signal has arrived."""
        return bool(self.name)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self.count += 1
