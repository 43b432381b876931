"""How far a training has come: for the platform in monitor.txt, for people in the log and in a bar at a terminal."""

from __future__ import annotations

import contextlib
import logging
import statistics
import time
from pathlib import Path
from typing import Callable, Iterator

from .. import distributed
from ..progress import LogPace, ProgressBar, describe_duration
from .cost import describe_expected_end, long_on_cpu_warning
from .metric_logger import StepStats
from .time_left import TimeLeft, TrainingCosts
from .training_plan import TrainingPlan

logger = logging.getLogger(__name__)

_LOGGED_SHARE = 0.01  # of the steps: a hundred lines, and those that come by time
_ENOUGH_STEPS_TIMED = 10
_ENOUGH_SECONDS_TIMED, _FEWEST_STEPS_TIMED = 20.0, 3  # on a GPU the first step prepares what the others use


class TrainingProgress:
    """Reports steps and evaluations in the process of rank 0; the other processes only time their steps."""

    def __init__(
        self, plan: TrainingPlan, costs: TrainingCosts, on_progress: Callable[[float], None], *, patience: int,
        is_on_cpu: bool, config_file: Path, max_hours: float = 0.0, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """
        Args:
            on_progress: called with the share of the whole training that is over, in [0, 1), export included.
            plan: may be moved in between.
            patience: of early stopping, which may end the training before the expected time; 0: off.
            is_on_cpu: whether a training of days should say how it becomes shorter.
            config_file: for that.
            max_hours: that the task may take, which will end the training before the expected time; 0: no limit.
            clock: returns seconds.
        """
        self._plan = plan
        self._on_progress = on_progress
        self._patience = patience
        self._max_hours = max_hours
        self._is_on_cpu = is_on_cpu
        self._config_file = config_file
        self.time_left = TimeLeft(plan, costs, clock)
        self._clock = clock
        self._is_writer = distributed.rank() == 0
        self._bar = ProgressBar(is_shown=self._is_writer)
        self._pace = LogPace(_LOGGED_SHARE, clock)
        self._seconds: list[float] = []
        self._step = 0
        self._has_told_end = False

    def open(self, step: int, evaluated_step: int) -> None:
        """Begin after `step` finished steps, of which the one `evaluated_step` was evaluated last."""
        self._step = step
        self.time_left.begin(step, evaluated_step)
        self._pace = LogPace(_LOGGED_SHARE, self._clock)
        self._bar.__enter__()

    def close(self) -> None:
        self._bar.__exit__(None, None, None)

    @property
    def seconds_per_step(self) -> float:
        """Median over the run, without evaluations; 0 before the first step."""
        return statistics.median(self._seconds or [0.0])

    def end_step(self, stats: StepStats) -> None:
        """Report a finished step."""
        self._step = stats.step
        self._seconds.append(stats.seconds)
        self.time_left.add_step(stats.step, stats.seconds)
        if not self._is_writer:
            return
        self._report(f"step {stats.step}/{self._plan.end_step}")
        if self._pace.is_due(stats.step / self._plan.end_step):
            losses = "  ".join(f"{name} {value:.4f}" for name, value in stats.losses.items())
            logger.info(
                "step %d/%d  %s  lr %.6f  %.3f s/step  %s", stats.step, self._plan.end_step, losses,
                stats.learning_rate, self.time_left.seconds_per_step, self._describe_left(),
            )  # fmt: skip
        if not self._has_told_end and self._has_timed_enough():
            self._tell_expected_end()

    def _has_timed_enough(self) -> bool:
        timed, fewest = len(self._seconds), 1 if self._is_on_cpu else _FEWEST_STEPS_TIMED
        return timed >= _ENOUGH_STEPS_TIMED or (timed >= fewest and sum(self._seconds) >= _ENOUGH_SECONDS_TIMED)

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Time an evaluation with all that belongs to it, plots and files included."""
        is_first = not self.time_left.is_evaluation_measured
        self.time_left.begin_evaluation()
        if self._is_writer:
            self._report(self._describe_evaluation(), at_once=True)
        yield
        self.time_left.end_evaluation()
        if self._is_writer and is_first and self._step < self._plan.end_step:
            self._tell_expected_end()

    def end_image(self) -> None:
        """Report an image of the evaluation that is running."""
        self.time_left.add_evaluated_image()
        if not self._is_writer:
            return
        what = self._describe_evaluation()
        self._report(what)
        if self._pace.is_due(self._step / self._plan.end_step):
            logger.info("%s, %s", what, self._describe_left())

    def _report(self, what: str, *, at_once: bool = False) -> None:
        done = self.time_left.done
        self._on_progress(done)
        self._bar.update(done, f"{what}, {self._describe_left()}", at_once=at_once)

    def _describe_evaluation(self) -> str:
        return f"evaluation of step {self._step}: {100 * self.time_left.evaluated_share:.0f} % of the images"

    def _describe_left(self) -> str:
        left_s = self.time_left.left_s
        return "" if left_s is None else f"{describe_duration(left_s)} left"

    def _tell_expected_end(self) -> None:
        if sentence := describe_expected_end(self.time_left, self._patience, self._max_hours):
            logger.info(sentence)
        is_long = self._is_on_cpu and not self._max_hours  # with a limit it is as long as somebody has decided
        if is_long and (warning := long_on_cpu_warning(self.time_left, self._config_file)):
            self._is_on_cpu = False  # said once
            logger.warning(warning)
        self._has_told_end = True
