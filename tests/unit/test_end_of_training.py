"""How the end of a training moves while it runs: by a plateau, by `max_hours`, and by both; on a clock of its own."""

from __future__ import annotations

import logging
from typing import Callable

import pytest

from ymir_detectron2.training.end_of_training import EndOfTraining
from ymir_detectron2.training.time_left import TimeLeft, TrainingCosts
from ymir_detectron2.training.training_plan import TrainingPlan

PUBLISHED = (60_000, 80_000)
NOTHING_FOUND: Callable[[int], float] = lambda step: 0.0  # noqa: E731


class Training:
    """A training of 90,000 steps as it is published, with as many seconds for each part as a test says."""

    def __init__(
        self, *, step_s: Callable[[int], float] = lambda step: 1.0, evaluation_s: float = 0.0,
        score: Callable[[int], float] = NOTHING_FOUND, patience: int = 0, max_hours: float = 0.0,
        eval_period: int = 9000, has_fixed_period: bool = False, closing_s: float = 60.0, estimate: float = 1.0,
    ) -> None:  # fmt: skip
        """
        Args:
            score: of an evaluation after so many steps.
            estimate: of an evaluation before it was timed, as a share of what it takes.
        """
        self.now_s = 0.0
        self.plan = TrainingPlan(90_000, eval_period, PUBLISHED)
        costs = TrainingCosts(1, estimate * evaluation_s / step_s(1), end_s=closing_s)
        self._time_left = TimeLeft(self.plan, costs, lambda: self.now_s)
        self.end = EndOfTraining(
            self.plan, self._time_left, patience=patience, max_hours=max_hours, elapsed_s=lambda: self.now_s,
            has_fixed_period=has_fixed_period,
        )  # fmt: skip
        self._has_limit = max_hours > 0  # the estimates of ninety thousand steps take seconds
        self._step_s, self._evaluation_s, self._score = step_s, evaluation_s, score
        self.step = 0
        self.evaluated: list[int] = []
        self.places: list[float] = []
        self.ends: list[int] = []

    def run(self, until: int | None = None) -> Training:
        while self.step < min(self.plan.end_step, until or self.plan.max_iter):
            self.places.append(self.plan.schedule_step(self.step))
            self.step += 1
            self.now_s += self._step_s(self.step)
            if self._has_limit:
                self._time_left.add_step(self.step, self._step_s(self.step))
            if self.end.is_late(self.step):
                self.end.keep_to_limit(self.step)
            if self.plan.is_evaluation(self.step):
                self._evaluate()
            self.ends.append(self.plan.end_step)
        return self

    def _evaluate(self) -> None:
        self._time_left.begin_evaluation()
        self.now_s += self._evaluation_s
        self._time_left.end_evaluation()
        self.evaluated.append(self.step)
        self.end.add_evaluation(self.step, self._score(self.step))

    def resume_from(self, other: Training) -> None:
        self.end.load_state_dict(other.end.state_dict(), other.step)
        self.step = other.step
        self._time_left.begin(other.step, other.evaluated[-1] if other.evaluated else 0)


def require_sound(training: Training) -> None:
    """Whatever has moved it, a training ends with an evaluation, after all of its decays, each taken in order."""
    assert training.step == training.plan.end_step == training.evaluated[-1]
    assert training.places == sorted(training.places)
    assert training.places[-1] >= 80_000, "the learning rate has decayed twice"
    first_decay = next(step for step, place in enumerate(training.places) if place >= 60_000)
    assert training.ends[first_decay:] == sorted(training.ends[first_decay:], reverse=True), "it only comes closer"


def rising_until(step: int) -> Callable[[int], float]:
    return lambda at: 0.6 * min(at, step) / step


@pytest.mark.parametrize(
    ("score", "patience"),
    [(rising_until(90_000), 10), (lambda step: 0.5, 0)],
    ids=["a metric that rises to the end", "no patience"],
)
def test_nothing_moves_without_a_reason(score: Callable[[int], float], patience: int):
    training = Training(score=score, patience=patience, eval_period=1000).run()
    assert training.places == list(range(90_000))
    assert training.evaluated == list(range(1000, 90_001, 1000))


def test_on_a_plateau_the_rate_decays_and_the_training_ends(caplog: pytest.LogCaptureFixture):
    """The mean of three evaluations rises up to step 22,000, and by less than 0.005 in the last of them."""
    with caplog.at_level(logging.INFO):
        training = Training(score=rising_until(20_000), patience=10, eval_period=1000).run()
    require_sound(training)
    (message,) = caplog.messages
    decay = training.places.index(60_000)
    assert decay == 22_000 + 10_000
    # a third of 32,000 steps, in whole periods of the two decays: 8,000 and 4,000
    assert training.step == decay + 8_000 + 4_000
    assert training.places.index(80_000) == decay + 8_000
    assert message == (
        "early stopping: the mean of the last evaluations, 0.6000, has not risen by 0.005 for 10 evaluations; the"
        " learning rate decays from step 32000 on, and the training ends after step 44000 (before: 90000)"
    )


def test_after_the_first_decay_no_plateau_moves_anything():
    training = Training(score=rising_until(55_000), patience=5, eval_period=1000).run()
    assert training.step == 90_000


@pytest.mark.parametrize("hours", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("evaluation_s", [0.0, 5.0, 100.0])
@pytest.mark.parametrize(("estimate", "used"), [(0.3, 0.9), (1.0, 0.9), (3.0, 0.75)])
def test_a_limit_is_kept_and_used(hours: float, evaluation_s: float, estimate: float, used: float):
    """Evaluations that turn out to be much shorter than expected leave some time, if they turn out after the decay."""
    training = Training(max_hours=hours, evaluation_s=evaluation_s, estimate=estimate).run()
    require_sound(training)
    limit_s, total_s = 3600 * hours, training.now_s + 60
    assert total_s <= limit_s
    assert total_s >= used * limit_s - evaluation_s
    assert 1 <= len(training.evaluated) <= 13
    assert len(training.evaluated) * evaluation_s <= max(0.3 * limit_s, evaluation_s)


@pytest.mark.parametrize(
    "step_s",
    [
        pytest.param(lambda step: 1.0 if step < 1500 else 2.5, id="slower from the middle on"),
        pytest.param(lambda step: 2.5 if step < 1500 else 1.0, id="faster from the middle on"),
        pytest.param(lambda step: 60.0 if step == 1 else 1.0, id="a slow first step"),
        pytest.param(lambda step: 8.0 if step < 40 else 1.0, id="slow first steps"),
        pytest.param(lambda step: 5.0 if step % 10 == 0 else 0.6, id="every tenth waits for images"),
        pytest.param(lambda step: 1.0 if step < 3000 else 3.0, id="slower in the last decay"),
    ],
)
def test_a_pace_that_changes(step_s: Callable[[int], float]):
    training = Training(max_hours=1.0, step_s=step_s, evaluation_s=20.0).run()
    require_sound(training)
    assert 0.85 * 3600 <= training.now_s + 60 <= 3600


def test_the_schedule_is_fitted_and_not_cut():
    """The decays are at two thirds and eight ninths of the run, as published; the end is found after 21 steps."""
    training = Training(max_hours=1.0).run()
    first, second = (next(at for at, place in enumerate(training.places) if place >= decay) for decay in PUBLISHED)
    assert first == pytest.approx(training.step * 2 / 3, rel=0.01)
    assert second == pytest.approx(training.step * 8 / 9, rel=0.01)
    assert len(set(training.ends)) <= 3, "a steady pace has no reason to move the end again and again"


def test_a_limit_shorter_than_an_evaluation_ends_with_one():
    """The time is over after the first step: it is evaluated, which is all that can be done."""
    training = Training(max_hours=0.01, step_s=lambda step: 50.0, evaluation_s=500.0).run()
    assert training.step == 1
    assert training.evaluated == [1]


def test_a_limit_that_is_not_reached_changes_nothing():
    training = Training(max_hours=30.0, evaluation_s=10.0).run()
    assert training.places == list(range(90_000))
    assert training.evaluated == list(range(9000, 90_001, 9000))


def test_a_period_that_the_user_has_set_is_kept():
    training = Training(max_hours=1.0, evaluation_s=100.0, eval_period=500, has_fixed_period=True).run()
    require_sound(training)
    assert training.evaluated[:-1] == list(range(500, training.step, 500))
    assert training.now_s + 60 <= 3600


def test_a_plateau_and_a_limit_together():
    """The plateau is at step 2,600, and its decays take 900 steps, unless the steps become slower within them."""
    options = {"score": lambda step: 0.5, "patience": 25, "eval_period": 100, "has_fixed_period": True}
    alone = Training(**options).run()
    require_sound(alone)
    assert (alone.places.index(60_000), alone.step) == (2600, 3500)
    both = Training(**options, max_hours=1.2, step_s=lambda step: 1.0 if step < 2650 else 2.0).run()
    require_sound(both)
    assert both.places[2600] == 60_000
    assert both.step < 3500
    assert both.now_s + 60 <= 1.2 * 3600
    before = Training(**options, max_hours=0.5).run()
    require_sound(before)
    assert before.step < 1800, "the limit comes before the plateau"


@pytest.mark.parametrize("stop_at", [200, 3200, 3400], ids=["before", "at the decay", "within the decays"])
def test_a_resumed_training_has_the_plan_of_an_uninterrupted_one(stop_at: int):
    options = {"score": lambda step: 0.5, "patience": 31, "eval_period": 100}
    whole = Training(**options).run()
    assert whole.places.index(60_000) == 3200
    first, second = Training(**options).run(until=stop_at), Training(**options)
    second.resume_from(first)
    second.run()
    assert first.places + second.places == whole.places
    assert first.evaluated + second.evaluated == whole.evaluated


def test_a_plan_that_nothing_has_moved_takes_the_evaluation_period_of_each_start():
    first = Training(eval_period=100).run(until=250)
    second = Training(eval_period=1000)
    second.resume_from(first)
    second.run(until=1500)
    assert second.evaluated == [1000]
    third = Training(eval_period=700)
    third.resume_from(second)
    third.run(until=2800)
    assert third.evaluated == [2100, 2800]


def test_the_hours_of_all_starts_count():
    first = Training(max_hours=1.0).run(until=1500)
    second = Training(max_hours=1.0)
    second.resume_from(first)
    second.run()
    assert 0.9 * 3600 <= first.now_s + second.now_s + 60 <= 3600
    assert (first.places + second.places) == sorted(first.places + second.places)


def test_a_start_from_step_0_after_a_damaged_state_has_all_of_its_hours():
    """What `TrainingRun` does: the state of the beginning, taken a minute after the start, is put back."""
    training = Training(max_hours=1.0)
    training.now_s = 60.0
    begun = training.end.state_dict()
    training.end.load_state_dict(Training(max_hours=1.0).run(until=1500).end.state_dict(), 1500)
    training.end.load_state_dict(begun, 0)
    assert training.plan.end_step == 90_000
    training.run()
    assert 0.9 * 3600 <= training.now_s + 60 <= 3600


def test_a_limit_that_was_over_before_a_restart_ends_with_an_evaluated_stage():
    first = Training(max_hours=10.0).run(until=5000)
    second = Training(max_hours=1.0)
    second.resume_from(first)
    second.run()
    assert second.evaluated == [5001]


def test_a_limit_that_is_taken_away_or_raised_gives_the_steps_back():
    first = Training(max_hours=1.0).run(until=1500)
    without = Training()
    without.resume_from(first)
    assert without.run().step == 90_000
    raised = Training(max_hours=2.0)
    raised.resume_from(first)
    assert raised.run().step == pytest.approx(7000, rel=0.03)


@pytest.mark.parametrize("change", [{"spent_s": -1.0}, {"plan": {"knots": 3}}, {"patience": {"recent": [2.0]}}])
def test_a_state_of_something_else_is_refused(change: dict[str, object]):
    training = Training(patience=3)
    with pytest.raises((ValueError, TypeError)):
        training.end.load_state_dict({**training.end.state_dict(), **change}, 10)
    with pytest.raises(ValueError, match="ended before this step"):
        training.end.load_state_dict(training.end.state_dict(), 90_001)
