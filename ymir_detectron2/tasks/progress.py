"""How far a mining or inference task is, for the platform, the log, and a person who watches."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

from .script import TaskRun

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0


class LookingProgress:
    """A context around the looking; told how many pictures are done, by all processes together."""

    def __init__(self, run: TaskRun[Any], verb: str, total: int, done_before: int) -> None:
        self._run = run
        self._verb = verb
        self._total = total
        self._done = self._done_before = done_before

    def __enter__(self) -> LookingProgress:
        self._start_s = self._last_line_s = time.monotonic()
        # a bar for a person at a terminal, lines for a log
        is_watched = self._run.is_main and sys.stdout.isatty()
        self._bar = tqdm(total=self._total, initial=self._done, unit="image", disable=not is_watched)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds = time.monotonic() - self._start_s
        self._bar.close()

    def update(self, done: int) -> None:
        """Tell how many pictures are done; less than before changes nothing."""
        if not self._run.is_main or done <= self._done:
            return
        self._bar.update(done - self._done)
        self._done = done
        self._run.monitor.report(0.99 * done / self._total)  # the rest is writing
        now_s = time.monotonic()
        if now_s - self._last_line_s >= _SECONDS_BETWEEN_LINES:
            self._last_line_s = now_s
            rate = (done - self._done_before) / (now_s - self._start_s)
            logger.info("%s %d of %d images, %.2f images/s, %.0f min left", self._verb, done, self._total, rate,
                        (self._total - done) / rate / 60)  # fmt: skip

    def figures(self) -> dict[str, Any]:
        """For the summary; `images_per_second` is None where there was nothing left to look at."""
        looked_at = self._total - self._done_before
        rate = looked_at / self._seconds if looked_at else None
        if self._run.is_main:
            speed = f"{rate:.2f} images/s" if rate else "all of them had been looked at"
            logger.info("%s %d images in %.1f s, %s", self._verb, self._total, self._seconds, speed)
        return {"images": self._total, "seconds": self._seconds, "images_per_second": rate}
