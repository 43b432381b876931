"""`max_hours`: at which step a training has to end so that its task is over in time.

The time of a step and of an evaluation is measured; what follows the training is reserved. The end is found again after
every evaluation, and in between as soon as the limit would be missed.
"""

from __future__ import annotations

import copy
import math
from typing import Callable, NamedTuple

from .lr_schedule import EVALUATIONS_PER_RUN
from .time_left import TimeLeft
from .training_plan import TrainingPlan

MARGIN = 0.02
"""Share of the limit that is left free, since steps and files take a little longer at times."""
_UNMEASURED = 1.5
"""What is reserved for an evaluation that has only been estimated, as a multiple of the estimate."""
_STEPS_TO_EVALUATIONS = 4
"""Of the time between two evaluations, what goes into steps as a multiple of what an evaluation takes."""
_ENOUGH_STEPS, _ENOUGH_SHARE = 20, 0.005
"""Timed steps, or their share of the limit, from which on the time of a step is known."""
_WORTH_MOVING = 0.05
"""Of the rest of a training: an end that is later by less stays where it is."""


class TimeLimit:
    """The hours that all starts of a training may take together, and how it keeps to them."""

    def __init__(self, max_hours: float, elapsed_s: Callable[[], float]) -> None:
        """
        Args:
            max_hours: 0: no limit.
            elapsed_s: returns the seconds since this start of the task began.
        """
        self.limit_s = 3600 * max_hours
        self._elapsed_s = elapsed_s
        self._is_fitted = False
        self.earlier_s = 0.0
        """What the starts before this one have taken, up to their last checkpoints."""

    @property
    def spent_s(self) -> float:
        return self.earlier_s + self._elapsed_s()

    def is_due(self, plan: TrainingPlan, step: int, time_left: TimeLeft) -> bool:
        """Return whether the end has to be found now: as soon as the time of a step is known, or the limit is missed.

        Never where the step is evaluated: the end is found after that.
        """
        left_s = time_left.left_s
        if not self.limit_s or left_s is None or plan.is_evaluation(step):
            return False
        if self.spent_s + left_s <= self.limit_s * (1 - MARGIN / 2):
            return False
        timed_s = time_left.steps_timed * (time_left.seconds_per_step or 0.0)
        is_known = time_left.steps_timed >= _ENOUGH_STEPS or timed_s >= _ENOUGH_SHARE * self.limit_s
        return self._is_fitted or is_known or self.spent_s >= self.limit_s

    def find_end(
        self, plan: TrainingPlan, step: int, time_left: TimeLeft, *, longest_period: int | None
    ) -> tuple[int, int]:
        """Return the step at which the training ends, and the evaluation period until then.

        Args:
            step: has been taken, and evaluated if the plan says so.
            longest_period: of the evaluations, which come closer in a shorter run; None: their period is fixed.
        """
        self._is_fitted = True
        if time_left.seconds_per_step is None:
            return plan.end_step, plan.eval_period
        pace = pace_of(time_left)
        available_s = self.limit_s * (1 - MARGIN) - self.spent_s
        return fitting_end(plan, step, available_s, pace, longest_period=longest_period)


class Pace(NamedTuple):
    """What the rest of a training takes, in seconds."""

    step_s: float
    evaluation_s: float
    closing_s: Callable[[int], float]
    """Returns what comes after the evaluation of this last step: export, page, the pass over the images."""


def pace_of(time_left: TimeLeft) -> Pace:
    """Return what steps and evaluations are expected to take, once there was a step."""
    evaluation_s = time_left.seconds_per_evaluation or 0.0
    if not time_left.is_evaluation_measured:
        evaluation_s *= _UNMEASURED
    return Pace(time_left.seconds_per_step or 0.0, evaluation_s, time_left.closing_s)


def fitting_end(
    plan: TrainingPlan, step: int, available_s: float, pace: Pace, *, longest_period: int | None
) -> tuple[int, int]:
    """Return the last step, and the evaluation period, for which the time suffices.

    Once the learning rate has decayed, the end only comes closer. A plan that fits is kept unless it can be longer by a
    twentieth of its rest.

    Args:
        longest_period: see `TimeLimit.find_end`.
    """

    def period_of(end: int) -> int:
        if not longest_period:
            return plan.eval_period
        fewest_steps = math.ceil(_STEPS_TO_EVALUATIONS * pace.evaluation_s / max(pace.step_s, 1e-9))
        return max(1, fewest_steps, min(longest_period, math.ceil(end / EVALUATIONS_PER_RUN)))

    def fits(end: int, period: int) -> bool:
        moved = copy.copy(plan)
        moved.move_end(step, end, period)
        evaluations = moved.evaluations_between(step, end)
        rest_s = (end - step) * pace.step_s + evaluations * pace.evaluation_s + pace.closing_s(end)
        return rest_s <= available_s

    is_kept = fits(plan.end_step, plan.eval_period)
    latest = plan.end_step if plan.has_decayed(step) else plan.max_iter
    if is_kept and latest == plan.end_step:
        return plan.end_step, plan.eval_period
    # the largest that fits, by halving: `end` does, `too_late` does not
    end, too_late = step, latest + 1
    while too_late - end > 1:
        middle = (end + too_late) // 2
        end, too_late = (middle, too_late) if fits(middle, period_of(middle)) else (end, middle)
    if is_kept and end - plan.end_step < _WORTH_MOVING * (plan.end_step - step):
        return plan.end_step, plan.eval_period
    return end, period_of(end)
