"""Progress for people: durations in words, when a line of the log is due, and a bar at a terminal below the log."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from types import TracebackType
from typing import Any, Callable

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_UNITS_S = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_FIRST_INTERVAL_S, _LAST_INTERVAL_S = 30.0, 300.0
_LINES_PER_INTERVAL = 120  # 30 s in the first hour, five minutes after the tenth: about 3,000 lines in ten days


def describe_duration(seconds: float) -> str:
    """Return a duration as people say it, rounded to what matters: "1 day 4 h", "12 min", "1 min 30 s", "40 s".

    Args:
        seconds: 0 or more, finite.
    """
    for (name, unit_s), (smaller_name, smaller_s) in zip(_UNITS_S, _UNITS_S[1:]):
        # two units below ten of the larger one
        resolution_s = smaller_s if seconds < 10 * unit_s else unit_s
        rounded_s = round(seconds / resolution_s) * resolution_s
        if rounded_s >= unit_s:
            count, rest_s = divmod(rounded_s, unit_s)
            plural = "s" if name == "day" and count > 1 else ""
            return f"{count} {name}{plural}" + (f" {rest_s // smaller_s} {smaller_name}" if rest_s else "")
    return f"{max(1, round(seconds)) if seconds else 0} s"


class LogPace:
    """Tells when a line of progress is due: at first, with each share of the work, and after a time without one.

    The platform keeps the whole log in one file, so the time grows with the run: from 30 s to five minutes.
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            share: of the work, in (0, 1], with which a line comes.
            clock: returns seconds.
        """
        self._share = share
        self._clock = clock
        self._start_s = self._last_s = clock()
        self._last_done: float | None = None

    def is_due(self, done: float) -> bool:
        """Return whether a line is due now, which then counts as written.

        Args:
            done: the share of the work that is finished, in [0, 1].
        """
        now_s = self._clock()
        interval_s = min(max((now_s - self._start_s) / _LINES_PER_INTERVAL, _FIRST_INTERVAL_S), _LAST_INTERVAL_S)
        # in whole shares, so that the lines come at round numbers
        is_next_share = self._last_done is None or _count(done, self._share) > _count(self._last_done, self._share)
        if not is_next_share and now_s - self._last_s < interval_s:
            return False
        self._last_s, self._last_done = now_s, done
        return True


def _count(done: float, share: float) -> int:
    return math.floor(done / share + 1e-9)  # 0.29 / 0.01 is a little less than 29


class ProgressBar:
    """A bar in the last line of a terminal, above which the log goes on; where the output is none, nothing.

    A context manager. At its end the bar disappears: what came of the work is said by the log.
    """

    def __init__(self, *, is_shown: bool) -> None:
        """
        Args:
            is_shown: False in all but the first of the processes that share the work.
        """
        self._is_shown = is_shown and sys.stdout.isatty()
        self._bar: tqdm[Any] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> ProgressBar:
        if self._is_shown:
            # on the stream of the log, which tqdm then writes; its handler keeps the formatter of ours
            self._bar = self._stack.enter_context(
                tqdm(total=1.0, bar_format="{desc} |{bar}|", file=sys.stdout, leave=False, miniters=0,
                     dynamic_ncols=True)
            )  # fmt: skip
            self._stack.enter_context(logging_redirect_tqdm())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._bar = None

    def update(self, done: float, text: str, *, at_once: bool = False) -> None:
        """Show the finished share of the work, in [0, 1], and what is being done; as often as one likes.

        Args:
            at_once: also if the bar was drawn less than a tenth of a second ago, since something else is done now.
        """
        if self._bar is None:
            return
        # rounded down: 100 % is only the end
        self._bar.set_description_str(f"{math.floor(100 * done)} %, {text}", refresh=False)
        self._bar.update(done - self._bar.n)
        if at_once:
            self._bar.refresh()
