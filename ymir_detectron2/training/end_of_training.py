"""What moves the end of a training while it runs: a plateau of its metric, and `max_hours`."""

from __future__ import annotations

import logging
from typing import Any, Callable, Mapping

from .. import distributed
from ..progress import describe_duration
from .early_stopping import MIN_DELTA, EarlyStopping
from .time_left import TimeLeft
from .time_limit import TimeLimit
from .training_plan import TrainingPlan

logger = logging.getLogger(__name__)


class EndOfTraining:
    """Moves the end of a plan, in all processes alike."""

    def __init__(
        self, plan: TrainingPlan, time_left: TimeLeft, *, patience: int, max_hours: float,
        elapsed_s: Callable[[], float], has_fixed_period: bool,
    ) -> None:  # fmt: skip
        """
        Args:
            patience: evaluations without improvement that make a plateau; 0: none does.
            max_hours: of the whole task; 0: no limit.
            elapsed_s: see `TimeLimit`.
            has_fixed_period: whether the user has set the evaluation period, which is then kept in a shorter run.
        """
        self._plan = plan
        self._time_left = time_left
        self._max_hours = max_hours
        self._early_stopping = EarlyStopping(patience)
        self._limit = TimeLimit(max_hours, elapsed_s)
        self._eval_period = plan.eval_period
        self._longest_period = None if has_fixed_period else plan.eval_period

    def is_late(self, step: int) -> bool:
        """Return whether `keep_to_limit` has something to do; only the process of rank 0 can say so."""
        return distributed.rank() == 0 and self._limit.is_due(self._plan, step, self._time_left)

    def keep_to_limit(self, step: int) -> None:
        """Move the end to where the task is over in time; rank 0 decides, whose clock and files they are."""
        if not self._limit.limit_s or step >= self._plan.end_step:
            return
        before = self._plan.end_step, self._plan.eval_period
        found = before
        if distributed.rank() == 0:
            found = self._limit.find_end(self._plan, step, self._time_left, longest_period=self._longest_period)
        found = distributed.broadcast_object(found)
        if found == before:
            return
        end, eval_period = found
        self._plan.move_end(step, end, eval_period)
        logger.info(
            "max_hours %g, of which %s have passed: the training ends after step %d (before: %d), with %d more"
            " evaluations", self._max_hours, describe_duration(self._limit.spent_s), end, before[0],
            self._plan.evaluations_between(step, end),
        )  # fmt: skip

    def add_evaluation(self, step: int, score: float) -> None:
        """Count an evaluation, by which the end may move.

        Args:
            score: the value of `best_metric`, the same in all processes.
        """
        self._early_stopping.update(score)
        # the decays raise AP once more; after them the training ends anyway
        if self._early_stopping.is_on_plateau and not self._plan.has_decayed(step):
            self._decay(step)
        self.keep_to_limit(step)

    def _decay(self, step: int) -> None:
        before = self._plan.end_step
        if self._plan.decay_now(step):
            logger.info(
                "early stopping: the mean of the last evaluations, %.4f, has not risen by %g for %d evaluations; the"
                " learning rate decays from step %d on, and the training ends after step %d (before: %d)",
                self._early_stopping.smoothed, MIN_DELTA, self._early_stopping.evaluations_since_best, step,
                self._plan.end_step, before,
            )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        return {
            "plan": self._plan.state_dict(), "patience": self._early_stopping.state_dict(),
            "spent_s": float(self._limit.spent_s),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any], step: int) -> None:
        """Continue after `step` finished steps.

        Raises:
            ValueError and others: the state is of another training; see `restoring`.
        """
        if state["spent_s"] < 0:
            raise ValueError("the time of the training is below 0")
        self._limit.earlier_s = state["spent_s"] if step else 0.0  # the state of step 0 is one of this very start
        self._early_stopping.load_state_dict(state["patience"])
        self._plan.load_state_dict(state["plan"])
        if self._plan.end_step < step:
            raise ValueError("the training has ended before this step")
        is_shortened = step < self._plan.end_step < self._plan.max_iter and not self._plan.has_decayed(step)
        if is_shortened and not self._limit.limit_s:  # by one that has been taken away
            self._plan.move_end(step, self._plan.max_iter, self._eval_period)
