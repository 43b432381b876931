"""The learning rate schedule fitted to a run, and its factor at single steps, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.training.lr_schedule import fit_schedule, learning_rate_factor, set_learning_rate


def config(**values: Any) -> RetinaNetConfig:
    return RetinaNetConfig.default().merged({key.replace("__", "."): value for key, value in values.items()}, "test")


PUBLISHED = config(SOLVER__MAX_ITER=90000, SOLVER__STEPS=[60000, 80000], SOLVER__WARMUP_ITERS=1000)


@pytest.mark.parametrize(
    ("max_iter", "steps", "warmup", "period"),
    [
        pytest.param(90000, (60000, 80000), 1000, 9000, id="as published"),
        pytest.param(900, (600, 800), 10, 90, id="a hundredth"),
        pytest.param(180000, (120000, 160000), 2000, 18000, id="twice"),
        pytest.param(5, (3, 4), 0, 1, id="five steps"),
        pytest.param(1, (1, 1), 0, 1, id="one step"),
    ],
)
def test_everything_in_the_schedule_keeps_its_share(max_iter: int, steps: tuple, warmup: int, period: int):
    fitted = fit_schedule(PUBLISHED, max_iter)
    assert fitted["SOLVER.MAX_ITER"] == max_iter
    assert fitted["SOLVER.STEPS"] == steps
    assert fitted["SOLVER.WARMUP_ITERS"] == warmup
    assert fitted["TEST.EVAL_PERIOD"] == fitted["SOLVER.CHECKPOINT_PERIOD"] == period


def test_no_decay_comes_before_the_first_step():
    """Where detectron2 refuses one, and this project in a config_file: a saved configuration can be used again."""
    early = PUBLISHED.merged({"SOLVER.STEPS": [500, 80000]}, "test")
    assert fit_schedule(early, 90)["SOLVER.STEPS"] == (1, 80)


def test_a_period_of_the_config_is_stretched_too():
    assert fit_schedule(PUBLISHED.merged({"TEST.EVAL_PERIOD": 30000}, "test"), 900)["TEST.EVAL_PERIOD"] == 300


HUNDRED = config(
    SOLVER__MAX_ITER=100, SOLVER__STEPS=[60, 80], SOLVER__WARMUP_ITERS=10, SOLVER__WARMUP_FACTOR=0.1, SOLVER__GAMMA=0.1
)


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.1),
        (5, 0.55),  # half-way from 0.1 to 1
        (9, 0.91),
        (10, 1.0),
        (59, 1.0),
        (60, 0.1),
        (79, 0.1),
        (80, 0.01),
        (99, 0.01),
    ],
)
def test_linear_warm_up_then_steps(step: int, factor: float):
    assert learning_rate_factor(HUNDRED, step) == pytest.approx(factor)


def test_constant_warm_up():
    constant = HUNDRED.merged({"SOLVER.WARMUP_METHOD": "constant"}, "test")
    assert [learning_rate_factor(constant, step) for step in (0, 9, 10)] == pytest.approx([0.1, 0.1, 1.0])


def test_warm_up_ends_where_the_schedule_is_by_then():
    """A decay at step 5 is within the warm-up, which therefore leads from 0.1 to 0.1."""
    early = HUNDRED.merged({"SOLVER.STEPS": [5]}, "test")
    assert [learning_rate_factor(early, step) for step in (0, 5, 9, 10)] == pytest.approx([0.1] * 4)


def test_no_warm_up():
    assert learning_rate_factor(HUNDRED.merged({"SOLVER.WARMUP_ITERS": 0}, "test"), 0) == 1.0


def test_cosine():
    cosine = HUNDRED.merged({"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER.WARMUP_ITERS": 0}, "test")
    found = [learning_rate_factor(cosine, step) for step in (0, 25, 50, 100)]
    assert found == pytest.approx([1.0, 0.5 + 0.5 * 0.5**0.5, 0.5, 0.0])
    raised = cosine.merged({"SOLVER.BASE_LR": 0.1, "SOLVER.BASE_LR_END": 0.01}, "test")
    assert learning_rate_factor(raised, 100) == pytest.approx(0.1)


def test_two_decays_on_one_step_both_apply():
    """In runs of a few steps the fitted decays fall together."""
    assert learning_rate_factor(HUNDRED.merged({"SOLVER.STEPS": [60, 60]}, "test"), 60) == pytest.approx(0.01)


def test_fixed_gamma():
    """Three decays at 25, 50 and 75 of 100 steps."""
    values = {"SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.WARMUP_ITERS": 0}
    fixed = HUNDRED.merged({**values, "SOLVER.NUM_DECAYS": 3}, "test")
    factors = [learning_rate_factor(fixed, step) for step in (0, 24, 25, 50, 75, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.01, 0.001, 0.001])


def test_fixed_gamma_has_all_of_its_decays_at_exact_shares_of_the_run_and_none_more():
    """0.29 x 100 is 28.999999999999996 in floating point; at the end of the run there is no decay number 100."""
    values = {"SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.WARMUP_ITERS": 0}
    fixed = HUNDRED.merged({**values, "SOLVER.NUM_DECAYS": 99, "SOLVER.GAMMA": 0.9}, "test")
    for step in range(100):
        assert learning_rate_factor(fixed, step) == pytest.approx(0.9**step)
    assert learning_rate_factor(fixed, 100) == pytest.approx(0.9**99)
    assert learning_rate_factor(fixed.merged({"SOLVER.NUM_DECAYS": 0}, "test"), 99) == 1


def test_rescaled_interval_compresses_the_schedule_into_the_steps_after_the_warm_up():
    """90 steps are left: the decays at 60 and 80 % come at 10 + 54 and 10 + 72."""
    rescaled = HUNDRED.merged({"SOLVER.RESCALE_INTERVAL": True}, "test")
    factors = [learning_rate_factor(rescaled, step) for step in (63, 64, 81, 82)]
    assert factors == pytest.approx([1, 0.1, 0.1, 0.01])


def test_each_group_keeps_the_ratio_of_its_own_rate():
    groups = [{"params": [torch.zeros(1)], "initial_lr": lr} for lr in (0.1, 0.2)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1]
