"""When a training decays its learning rate, evaluates and ends; its end may be moved while it runs.

The schedule of a configuration is written for SOLVER.MAX_ITER steps. A step of the run has a place in it, the schedule
step, by which the learning rate is found. As long as nothing has been moved, the two are the same; a run that ends
earlier goes through the rest of the schedule faster, so that no decay is cut off.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

DECAY_SHARE = 1 / 3
"""What the decays take where a plateau brings them on, as a share of the steps before them. The published schedules for
COCO leave a half (1x) and two sevenths (3x) of the steps before their first decay to those after it."""


class TrainingPlan:
    """The steps at which one training decays, evaluates and ends. It knows no clock and no metric."""

    def __init__(self, max_iter: int, eval_period: int, decay_steps: Sequence[float] = ()) -> None:
        """
        Args:
            max_iter: steps of the whole schedule, after which the training ends unless its end is moved.
            eval_period: steps between two evaluations; 0: only after the last step.
            decay_steps: of the schedule, at which the learning rate falls; () where it falls all the time, or never.
        """
        self.max_iter = max_iter
        self.eval_period = self._given_period = eval_period
        self._decay_steps = sorted(float(step) for step in decay_steps if 0 < step < max_iter)
        self._periods_begin = 0
        # (step, schedule step) from the latest move on, in between linear; two of one step are a jump
        self._knots = [(0.0, 0.0), (float(max_iter), float(max_iter))]
        self._is_moved = False

    @property
    def end_step(self) -> int:
        """The last step, counted from 1."""
        return int(self._knots[-1][0])

    def schedule_step(self, step: int) -> float:
        """Return the place in the schedule after `step` finished steps, none of them before the latest move."""
        if not self._is_moved:
            return step
        if step >= self.end_step:
            return self.max_iter
        # the last knot that is not behind the step: of a jump, the one that it leads to
        index = max(number for number, (knot, _) in enumerate(self._knots) if number == 0 or knot <= step)
        (start, first), (stop, last) = self._knots[index : index + 2]
        return first + (step - start) * (last - first) / (stop - start)

    def has_decayed(self, step: int) -> bool:
        """Return whether the first decay has come; where the learning rate falls all the time, half of the schedule."""
        first = self._decay_steps[0] if self._decay_steps else self.max_iter / 2
        return self.schedule_step(step) >= first

    def is_evaluation(self, step: int) -> bool:
        """Return whether the weights of a step are evaluated."""
        return step == self.end_step or self._is_periodic(step)

    def _is_periodic(self, step: int) -> bool:
        return self.eval_period > 0 and (step - self._periods_begin) % self.eval_period == 0

    def evaluations_between(self, step: int, last: int) -> int:
        """Return how many evaluations come after a step, up to another one, that of the last included."""
        if last <= step:
            return 0
        count = 0
        if self.eval_period:
            begin = self._periods_begin
            count = (last - begin) // self.eval_period - (step - begin) // self.eval_period
        return count + (last == self.end_step and not self._is_periodic(last))

    def move_end(self, step: int, end: int, eval_period: int) -> None:
        """Stretch or compress the rest of the schedule, after `step` finished steps, so that it ends at another step.

        Args:
            end: from `step`, which ends the training at once, to `max_iter`.
            eval_period: of the rest; another one than before is counted from `step` on.
        """
        here = (float(step), float(self.schedule_step(step)))
        scale = (end - step) / max(1, self.end_step - step)
        later = [(step + (knot - step) * scale, place) for knot, place in self._knots[:-1] if knot > step]
        self._knots = [here, *later, (float(end), float(self.max_iter))]
        if eval_period != self.eval_period:
            self.eval_period, self._periods_begin = eval_period, step
        self._is_moved = True

    def decay_now(self, step: int) -> bool:
        """Begin the first decay after `step` finished steps; the others follow sooner than planned, and then the end.

        Together they take `DECAY_SHARE` of the steps so far, each its share of what the schedule leaves to it, rounded
        up to whole periods of evaluations.

        Returns:
            False where the training ends as soon without it: then nothing is changed.
        """
        begins = self._decay_steps or [float(self.schedule_step(step))]
        period = max(1, self.eval_period)
        knots = [(float(step), begins[0])]
        for begin, end in zip(begins, [*begins[1:], float(self.max_iter)]):
            length = DECAY_SHARE * step * (end - begin) / (self.max_iter - begins[0])
            knots.append((knots[-1][0] + period * math.ceil(length / period), end))
        if knots[-1][0] >= self.end_step:
            return False
        self._knots, self._periods_begin, self._is_moved = knots, step, True
        return True

    def state_dict(self) -> dict[str, Any]:
        return {
            "knots": [list(knot) for knot in self._knots] if self._is_moved else [],
            "eval_period": self.eval_period, "periods_begin": self._periods_begin,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue what `state_dict` returned; a plan that was not moved keeps the evaluation period of this start.

        Raises:
            ValueError and others: the state is not that of a plan over `max_iter` steps; see `restoring`.
        """
        knots = _knots_of(state["knots"], self.max_iter)
        self._is_moved = bool(knots)
        self._knots = knots or [(0.0, 0.0), (float(self.max_iter), float(self.max_iter))]
        self.eval_period, self._periods_begin = self._given_period, 0
        if self._is_moved:
            self.eval_period, self._periods_begin = state["eval_period"], state["periods_begin"]


def _knots_of(content: Sequence[Sequence[float]], max_iter: int) -> list[tuple[float, float]]:
    """Return the knots of a state; ValueError for any by which no schedule step could be found."""
    knots = [(float(step), float(place)) for step, place in content]
    if not knots:
        return []
    never_falls = all(a <= b for before, after in zip(knots, knots[1:]) for a, b in zip(before, after))
    (first, place), (end, last_place) = knots[0], knots[-1]
    # NaN fails the comparisons
    if len(knots) < 2 or not (never_falls and min(first, place) >= 0 and end <= max_iter == last_place):
        raise ValueError("the plan of the training is not one")
    if end != int(end):
        raise ValueError("the plan of the training ends within a step")
    return knots
