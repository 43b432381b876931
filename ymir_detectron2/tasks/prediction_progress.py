"""How far the prediction of the candidates has come: for the platform, in the log, and in a bar at a terminal."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any, Callable

from ..progress import LogPace, ProgressBar, describe_duration
from .script import TaskRun

logger = logging.getLogger(__name__)

_LOGGED_SHARE = 0.1  # of the images: ten lines, and those that come by time
_LEAST_S = 1.0
"""Between two lines: images come in chunks, of which one line is enough."""
_SHARE_BEFORE_WRITING = 0.99


class PredictionProgress:
    """A context around a pass through candidates; counts how many are done, by all processes together."""

    def __init__(
        self, run: TaskRun[Any], verb: str, total: int, done_before: int = 0, *, passed: int = 0, to_come: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """
        Args:
            verb: what is done with an image, e.g. "mined".
            total: images of this pass.
            done_before: of these, by an earlier start.
            passed, to_come: images of the passes before and after this one, which are part of the task's progress and
                of the time that is left.
            clock: returns seconds.
        """
        self._run = run
        self._verb = verb
        self._total = total
        self._done = self._done_before = done_before
        self._passed = passed
        self._to_come = to_come
        self._clock = clock
        self._pace = LogPace(_LOGGED_SHARE, clock)
        self._bar = ProgressBar(is_shown=run.is_main)

    def __enter__(self) -> PredictionProgress:
        self._start_s = self._latest_s = self._clock()
        self._last_line_s: float | None = None
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds = self._clock() - self._start_s
        self._bar.__exit__(None, None, None)

    def begin(self) -> None:
        """Let the time count from now: the detector is loaded."""
        self._start_s = self._latest_s = self._clock()

    def update(self, done: int) -> None:
        """Set how many images of this pass are done; fewer than before changes nothing."""
        # images of a block in work are counted before it is on disk: the next count of the disk may be lower
        if not self._run.is_main or done <= self._done:
            return
        now_s = self._clock()
        # before this image counts: it may be the first of a chunk, in whose time all of them were predicted
        self._log(now_s)
        self._done, self._latest_s = done, now_s
        work = self._passed + self._total + self._to_come
        self._run.monitor.report(_SHARE_BEFORE_WRITING * (self._passed + done) / work)
        self._bar.update((self._passed + done) / work, self._describe(now_s))

    def _log(self, now_s: float) -> None:
        if self._last_line_s is None:
            self._last_line_s = now_s
        elif now_s - self._last_line_s >= _LEAST_S and self._pace.is_due(self._done / self._total):
            self._last_line_s = now_s
            logger.info(self._describe(now_s))

    def _describe(self, now_s: float) -> str:
        text = f"{self._verb} {self._done} of {self._total} images"
        seconds = self._latest_s - self._start_s
        if seconds <= 0:
            return text
        rate = (self._done - self._done_before) / seconds
        left_s = (self._total - self._done + self._to_come) / rate - (now_s - self._latest_s)
        return f"{text}, {rate:.2f} images/s, {describe_duration(max(0.0, left_s))} left"

    def figures(self) -> dict[str, Any]:
        """Return the figures for the summary; `images_per_second` is None where nothing was left to predict."""
        predicted = self._total - self._done_before
        rate = predicted / self._seconds if predicted else None
        if self._run.is_main:
            speed = f"{rate:.2f} images/s" if rate else "all of them had been predicted before"
            logger.info("%s %d images in %s, %s", self._verb, self._total, describe_duration(self._seconds), speed)
        return {"images": self._total, "seconds": self._seconds, "images_per_second": rate}
