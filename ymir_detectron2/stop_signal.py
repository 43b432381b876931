"""SIGTERM and SIGINT as a wish that is granted between two steps, never in the middle of a file."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """Remembers that the process was asked to stop."""

    def __init__(self) -> None:
        self.name = ""

    def install(self) -> StopSignal:
        """From now on SIGTERM and SIGINT only set the flag."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)
        return self

    def requested(self) -> bool:
        return bool(self.name)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
