"""`max_hours`: the last step that fits into a time, found from what steps and evaluations take."""

from __future__ import annotations

import pytest

from ymir_detectron2.training.time_left import TimeLeft, TrainingCosts
from ymir_detectron2.training.time_limit import Pace, TimeLimit, fitting_end
from ymir_detectron2.training.training_plan import TrainingPlan

PUBLISHED = (60_000, 80_000)


def pace(step_s: float, evaluation_s: float, closing_share: float = 0.0) -> Pace:
    """Of a training after which comes as much as a share of its steps takes."""
    return Pace(step_s, evaluation_s, lambda end: closing_share * end)


def seconds_of(plan: TrainingPlan, step: int, takes: Pace) -> float:
    """Of the rest of a plan, counted step by step."""
    rest = range(step + 1, plan.end_step + 1)
    evaluations = sum(map(plan.is_evaluation, rest))
    return len(rest) * takes.step_s + evaluations * takes.evaluation_s + takes.closing_s(plan.end_step)


@pytest.mark.parametrize(
    ("step", "available_s", "takes", "longest", "expected"),
    [
        # a step takes a second
        pytest.param(20, 1000.0, pace(1.0, 0.0), 9000, (1020, 102), id="evaluations cost nothing: a tenth each"),
        pytest.param(20, 1000.0, pace(1.0, 10.0), 9000, (920, 92), id="ten evaluations"),
        pytest.param(20, 1000.0, pace(1.0, 100.0), 9000, (820, 400), id="two: four fifths of the time are steps"),
        pytest.param(20, 1000.0, pace(1.0, 900.0), 9000, (120, 3600), id="one at the end"),
        pytest.param(20, 1000.0, pace(1.0, 10.0), 60, (870, 60), id="a shorter period stays"),
        pytest.param(20, 1000.0, pace(1.0, 10.0), 30, (820, 40), id="unless evaluations took most of the time"),
        pytest.param(20, 1000.0, pace(1.0, 10.0), None, (1010, 9000), id="a fixed period stays"),
        pytest.param(20, 1000.0, pace(1.0, 0.0, 0.1), 9000, (927, 93), id="a tenth of the steps afterwards"),
        pytest.param(20, 90.0, pace(1.0, 100.0), 9000, (20, 400), id="not even one evaluation more"),
        pytest.param(20, -5.0, pace(1.0, 0.0), 9000, (20, 2), id="the time is over"),
        pytest.param(20, 1e6, pace(1.0, 10.0), 9000, (90_000, 9000), id="time for everything"),
    ],
)
def test_the_last_step_that_fits(step: int, available_s: float, takes: Pace, longest: int | None, expected: tuple):
    plan = TrainingPlan(90_000, 9000, PUBLISHED)
    end, period = fitting_end(plan, step, available_s, takes, longest_period=longest)
    assert (end, period) == expected
    plan.move_end(step, end, period)
    assert seconds_of(plan, step, takes) <= max(0.0, available_s)


def test_a_fixed_period_counts_from_the_first_step():
    """Evaluations at 100, 150, 200: two of them in the hundred steps, and one at the end."""
    plan = TrainingPlan(90_000, 50, PUBLISHED)
    end, period = fitting_end(plan, 60, 100 + 3 * 20.0, pace(1.0, 20.0), longest_period=None)
    assert (end, period) == (160, 50)


@pytest.mark.parametrize(("available_s", "end"), [(2000.0, 10_000), (900.0, 9900)])
def test_after_the_first_decay_the_end_only_comes_closer(available_s: float, end: int):
    plan = TrainingPlan(90_000, 9000, PUBLISHED)
    plan.move_end(20, 10_000, 9000)
    assert plan.has_decayed(9000)
    assert fitting_end(plan, 9000, available_s, pace(1.0, 0.0), longest_period=None)[0] == end


@pytest.mark.parametrize(("available_s", "end"), [(1040.0, 2000), (1060.0, 2060), (999.0, 1999)])
def test_before_it_the_end_moves_back_only_if_it_is_worth_it(available_s: float, end: int):
    plan = TrainingPlan(90_000, 9000, PUBLISHED)
    plan.move_end(20, 2000, 9000)
    assert fitting_end(plan, 1000, available_s, pace(1.0, 0.0), longest_period=None)[0] == end


def time_left_of(
    plan: TrainingPlan, *, steps: int, step_s: float = 1.0, costs: TrainingCosts | None = None
) -> TimeLeft:
    time_left = TimeLeft(plan, costs or TrainingCosts(10, 2.0, end_s=100.0, end_steps=50.0), lambda: 0.0)
    for step in range(1, steps + 1):
        time_left.add_step(step, step_s)
    return time_left


@pytest.mark.parametrize(
    ("hours", "steps", "step_s", "is_due"),
    [
        pytest.param(0, 30, 1.0, False, id="no limit"),
        pytest.param(1, 0, 1.0, False, id="no step yet"),
        pytest.param(1, 10, 1.0, False, id="ten of 0.5 s"),
        pytest.param(1, 21, 1.0, True, id="twenty, and the first"),
        pytest.param(1, 2, 20.0, True, id="slow ones"),
        pytest.param(30, 21, 1.0, False, id="the training fits"),
    ],
)
def test_the_end_is_found_when_the_time_of_a_step_is_known(hours: float, steps: int, step_s: float, is_due: bool):
    plan = TrainingPlan(90_000, 9000, PUBLISHED)
    limit = TimeLimit(hours, lambda: steps * step_s)
    assert limit.is_due(plan, steps, time_left_of(plan, steps=steps, step_s=step_s)) is is_due


def test_a_limit_that_is_over_is_noticed_after_one_step():
    plan = TrainingPlan(90_000, 9000, PUBLISHED)
    assert TimeLimit(1, lambda: 3600.0).is_due(plan, 1, time_left_of(plan, steps=1))


def test_where_a_step_is_evaluated_the_end_is_found_after_that():
    plan = TrainingPlan(90_000, 30, PUBLISHED)
    limit = TimeLimit(1, lambda: 30.0)
    assert not limit.is_due(plan, 30, time_left_of(plan, steps=30))
    assert limit.is_due(plan, 31, time_left_of(plan, steps=31))


def test_what_follows_the_training_is_reserved_with_a_margin():
    """An hour less 2 %, 21 s spent, 100 s and 50 steps afterwards; the evaluation is estimated at 2 s, times 1.5."""
    plan = TrainingPlan(90_000, 0, PUBLISHED)
    limit = TimeLimit(1, lambda: 21.0)
    end, _ = limit.find_end(plan, 21, time_left_of(plan, steps=21), longest_period=None)
    assert end == 21 + 3528 - 21 - 150 - 3


def test_all_starts_count():
    plan = TrainingPlan(90_000, 0, PUBLISHED)
    limit = TimeLimit(1, lambda: 21.0)
    limit.earlier_s = 1000.0
    assert limit.spent_s == 1021
    assert limit.find_end(plan, 21, time_left_of(plan, steps=21), longest_period=None)[0] == 2375


def test_once_fitted_a_plan_that_gets_slower_is_fitted_again():
    """By half of the margin: 3,564 s of an hour."""
    plan, costs = TrainingPlan(90_000, 0, PUBLISHED), TrainingCosts(1, 0.0)
    now = [100.0]
    limit = TimeLimit(1, lambda: now[0])
    time_left = time_left_of(plan, steps=100, costs=costs)
    end, period = limit.find_end(plan, 100, time_left, longest_period=None)
    plan.move_end(100, end, period)
    assert (end, limit.is_due(plan, 100, time_left)) == (3528, False)
    now[0] = 135.0
    assert not limit.is_due(plan, 100, time_left)
    now[0] = 137.0
    assert limit.is_due(plan, 100, time_left)
