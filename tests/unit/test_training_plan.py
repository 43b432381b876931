"""The plan of a training: where it is in its schedule, when it evaluates and ends, and how its end moves. By hand."""

from __future__ import annotations

import math
from typing import Any, Callable

import pytest

from tests.tiny_training import config
from ymir_detectron2.training.lr_schedule import build_plan, learning_rate_factor
from ymir_detectron2.training.training_plan import TrainingPlan

PUBLISHED = (60_000, 80_000)


def evaluations(plan: TrainingPlan, after: int = 0) -> list[int]:
    return [step for step in range(after + 1, plan.end_step + 1) if plan.is_evaluation(step)]


@pytest.mark.parametrize(
    ("max_iter", "period", "expected"),
    [
        (30, 15, [15, 30]), (30, 20, [20, 30]), (30, 0, [30]), (30, 30, [30]), (30, 40, [30]),
        (4, 1, [1, 2, 3, 4]), (1, 1, [1]),
    ],
)  # fmt: skip
def test_evaluations_come_with_each_period_and_after_the_last_step(max_iter: int, period: int, expected: list[int]):
    plan = TrainingPlan(max_iter, period)
    assert evaluations(plan) == expected
    assert plan.evaluations_between(0, max_iter) == len(expected)
    assert plan.evaluations_between(0, max_iter - 1) == len(expected) - 1
    assert plan.evaluations_between(max_iter, max_iter) == 0


@pytest.mark.parametrize("max_iter", [1, 7, 90_000, 3_000_000])
def test_a_plan_that_is_not_moved_is_the_schedule_itself(max_iter: int):
    plan = TrainingPlan(max_iter, 10, (max_iter // 2,))
    for step in range(0, max_iter, max(1, max_iter // 1000)):
        assert plan.schedule_step(step) == step
    assert plan.end_step == max_iter


def test_an_end_that_moves_forward_compresses_what_is_left():
    """After step 10,000 of 90,000, 8,000 are left of 80,000: each step is ten of the schedule."""
    plan = TrainingPlan(90_000, 9_000, PUBLISHED)
    plan.move_end(10_000, 18_000, 900)
    assert plan.end_step == 18_000
    assert [plan.schedule_step(step) for step in (10_000, 15_000, 17_000, 17_999, 18_000)] == pytest.approx(
        [10_000, 60_000, 80_000, 89_990, 90_000]
    )
    assert [plan.has_decayed(step) for step in (10_000, 14_999, 15_000)] == [False, False, True]
    assert evaluations(plan, 10_000) == [*range(10_900, 18_000, 900), 18_000]
    assert plan.evaluations_between(10_000, 18_000) == 9


def test_an_end_that_moves_twice_passes_every_decay_once():
    """Forward, back, and forward again: the way through the schedule never turns round and leaves nothing out."""
    plan = TrainingPlan(900, 90, (600, 800))
    places = [plan.schedule_step(step) for step in range(10)]
    plan.move_end(10, 100, 10)
    places += [plan.schedule_step(step) for step in range(10, 40)]
    plan.move_end(40, 300, 30)
    places += [plan.schedule_step(step) for step in range(40, 200)]
    plan.move_end(200, 220, 2)
    places += [plan.schedule_step(step) for step in range(200, 221)]
    assert places == sorted(places)
    assert max(after - before for before, after in zip(places, places[1:])) < 100, "no decay is jumped over"
    assert places[-1] == 900


def test_the_same_period_goes_on_where_it_was_and_another_one_begins_at_the_move():
    kept, changed = TrainingPlan(100, 20), TrainingPlan(100, 20)
    kept.move_end(30, 70, 20)
    changed.move_end(30, 70, 15)
    assert evaluations(kept, 30) == [40, 60, 70]
    assert evaluations(changed, 30) == [45, 60, 70]


def test_an_end_at_the_present_step_ends_the_training_with_an_evaluation():
    plan = TrainingPlan(100, 20, (80,))
    plan.move_end(33, 33, 20)
    assert plan.end_step == 33
    assert plan.is_evaluation(33)
    assert plan.schedule_step(33) == 100


@pytest.mark.parametrize(
    ("step", "period", "expected"),
    [
        # a third of 6,000 steps, in the proportion of the 20,000 and 10,000 that the schedule leaves
        pytest.param(6_000, 1, [7_334, 8_001], id="a third of the steps so far"),
        pytest.param(6_000, 1_000, [8_000, 9_000], id="whole periods"),
        pytest.param(6, 3, [9, 12], id="a period each at least"),
        pytest.param(30_000, 500, [37_000, 40_500], id="later"),
    ],
)
def test_decays_that_are_brought_on_take_a_share_of_the_steps_so_far(step: int, period: int, expected: list[int]):
    plan = TrainingPlan(90_000, period, PUBLISHED)
    assert plan.decay_now(step)
    second, end = expected
    assert plan.end_step == end
    assert plan.schedule_step(step) == 60_000, "the first decay is now"
    assert plan.schedule_step(second - 1) < 80_000
    assert plan.schedule_step(second) == 80_000
    assert [plan.is_evaluation(each) for each in (second, end)] == [True, True], "each decay ends with an evaluation"


def test_the_learning_rate_follows():
    """GAMMA 0.1 at 60 and 80 of 90 steps; of the four steps after a plateau at step 12, three are the first decay's."""
    cfg = config(SOLVER__MAX_ITER=90, SOLVER__STEPS=[60, 80], SOLVER__GAMMA=0.1, TEST__EVAL_PERIOD=1)
    plan = build_plan(cfg)
    assert plan.decay_now(12)
    factors = [learning_rate_factor(cfg, plan.schedule_step(step)) for step in range(12, plan.end_step)]
    assert factors == pytest.approx([0.1] * 3 + [0.01] * 2)


@pytest.mark.parametrize(
    ("plan", "step"),
    [
        pytest.param(TrainingPlan(88, 10, (60, 80)), 59, id="59 + 20 + 10 steps: the schedule is faster"),
        pytest.param(TrainingPlan(90, 40, (60, 80)), 40, id="two periods"),
        pytest.param(TrainingPlan(100, 10, tuple(range(1, 100))), 10, id="a hundred decays of a period each"),
    ],
)
def test_decays_are_not_brought_on_where_the_training_ends_as_soon(plan: TrainingPlan, step: int):
    before = plan.state_dict(), plan.schedule_step(step)
    assert plan.decay_now(step) is False
    assert (plan.state_dict(), plan.schedule_step(step)) == before


def test_a_schedule_that_falls_all_the_time_goes_through_its_rest():
    plan = TrainingPlan(900, 10)
    assert [plan.has_decayed(step) for step in (449, 450)] == [False, True]
    assert plan.decay_now(90)
    assert plan.end_step == 120
    assert [plan.schedule_step(step) for step in (90, 100, 119)] == pytest.approx([90, 360, 873])


def test_moved_decays_can_be_compressed_once_more():
    plan = TrainingPlan(900, 1, (600, 800))
    plan.decay_now(90)
    assert plan.end_step == 120
    plan.move_end(100, 110, 1)
    assert [plan.schedule_step(step) for step in (100, 110)] == [700, 900]
    assert plan.schedule_step(105) == 800


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({"STEPS": [60, 80]}, 60),
        ({"STEPS": [80, 60, 60]}, 60),
        ({"STEPS": [100, 200]}, 50),
        ({"LR_SCHEDULER_NAME": "WarmupCosineLR"}, 50),
        ({"LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "NUM_DECAYS": 3}, 25),
        ({"STEPS": [60, 80], "RESCALE_INTERVAL": True, "WARMUP_ITERS": 10}, 64),
    ],
    ids=["steps", "in any order", "no decay", "cosine", "fixed gamma", "rescaled"],
)
def test_the_plan_of_a_configuration_knows_its_first_decay(values: dict[str, Any], first: int):
    solver = {"MAX_ITER": 100, "WARMUP_ITERS": 0, **values}
    cfg = config(TEST__EVAL_PERIOD=7, **{f"SOLVER__{key}": value for key, value in solver.items()})
    plan = build_plan(cfg)
    assert (plan.end_step, plan.eval_period) == (100, 7)
    assert [plan.has_decayed(step) for step in (first - 1, first)] == [False, True]


@pytest.mark.parametrize("name", ["WarmupMultiStepLR", "WarmupStepWithFixedGammaLR"])
def test_the_rate_falls_where_the_plan_says(name: str):
    """With the warm-up taken out of the schedule, decays are no whole steps."""
    cfg = config(
        SOLVER__MAX_ITER=97, SOLVER__STEPS=[61, 83], SOLVER__WARMUP_ITERS=13, SOLVER__RESCALE_INTERVAL=True,
        SOLVER__LR_SCHEDULER_NAME=name, SOLVER__NUM_DECAYS=2, TEST__EVAL_PERIOD=2,
    )  # fmt: skip
    plan = build_plan(cfg)
    assert plan.decay_now(20)
    factors = [learning_rate_factor(cfg, plan.schedule_step(step)) for step in range(20, plan.end_step)]
    assert factors[0] == pytest.approx(0.1)
    assert sorted(set(factors), reverse=True) == pytest.approx([0.1, 0.01])


def test_a_state_continues_the_plan():
    plan = TrainingPlan(900, 10, (600, 800))
    plan.decay_now(90)
    restored = TrainingPlan(900, 50, (600, 800))
    restored.load_state_dict(plan.state_dict())
    assert evaluations(restored, 90) == evaluations(plan, 90) == [100, 110, 120]
    assert [restored.schedule_step(step) for step in range(90, 121)] == [
        plan.schedule_step(step) for step in range(90, 121)
    ]


def test_a_plan_that_was_not_moved_takes_the_period_of_this_start():
    restored = TrainingPlan(100, 50)
    restored.move_end(10, 20, 5)
    restored.load_state_dict(TrainingPlan(100, 20).state_dict())
    assert evaluations(restored) == [50, 100]
    assert [restored.schedule_step(step) for step in (0, 99)] == [0, 99]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda state: state["knots"].pop(), id="no end"),
        pytest.param(lambda state: state["knots"].append([901.0, 900.0]), id="after the last step"),
        pytest.param(lambda state: state["knots"].append([135.5, 900.0]), id="within a step"),
        pytest.param(lambda state: state["knots"].insert(0, [-1.0, 0.0]), id="before the first step"),
        pytest.param(lambda state: state["knots"].reverse(), id="backwards"),
        pytest.param(lambda state: state["knots"].insert(1, [math.nan, 700.0]), id="NaN"),
        pytest.param(lambda state: state.update(knots=[[1.0]]), id="no pair"),
        pytest.param(lambda state: state.update(knots=[[1.0, 2.0]]), id="one knot"),
        pytest.param(lambda state: state.update(knots=3), id="no list"),
        pytest.param(lambda state: state.update(knots=[[None, 1.0], [2.0, 900.0]]), id="no number"),
    ],
)
def test_a_state_of_something_else_is_refused(change: Callable[[dict[str, Any]], object]):
    plan = TrainingPlan(900, 10, (600, 800))
    plan.decay_now(90)
    state = plan.state_dict()
    change(state)
    with pytest.raises((ValueError, TypeError)):
        TrainingPlan(900, 10, (600, 800)).load_state_dict(state)
