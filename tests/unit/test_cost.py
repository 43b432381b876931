"""What is said of the cost of a training before and soon after it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.training.cost import (
    describe_expected_end,
    describe_plan,
    long_on_cpu_warning,
    many_passes_warning,
)
from ymir_detectron2.training.time_left import TimeLeft, TrainingCosts
from ymir_detectron2.training.training_plan import TrainingPlan

R50 = Path("/app/configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml")
R18 = Path("/app/configs/CPU/retinanet_R_18_FPN_small.yaml")


@pytest.mark.parametrize(
    ("max_iter", "period", "sentence"),
    [
        (30, 15, "1.5 epochs of 40 training images; 2 evaluations on 120 validation images, every 15 steps"),
        (30, 0, "1.5 epochs of 40 training images; 1 evaluation on 120 validation images, after the last step"),
        (90_000, 9_000, "4500 epochs of 40 training images; 10 evaluations on 120 validation images, every 9000 steps"),
    ],
)
def test_what_there_is_to_do(max_iter: int, period: int, sentence: str):
    plan = TrainingPlan(max_iter, period)
    assert describe_plan(plan, batch_size=2, num_train_images=40, num_val_images=120) == sentence


@pytest.mark.parametrize(
    ("max_iter", "patience", "warns"), [(4000, 0, False), (4001, 0, True), (90_000, 0, True), (90_000, 5, False)]
)
def test_a_set_that_is_gone_through_too_often(max_iter: int, patience: int, warns: bool):
    warning = many_passes_warning(
        TrainingPlan(max_iter, 0), batch_size=2, num_train_images=40, patience=patience
    )
    assert bool(warning) == warns
    for word in ("40 training images", "200", "max_epochs", "max_iter", "patience") if warns else ():
        assert word in warning


def after_one_step(plan: TrainingPlan, costs: TrainingCosts, seconds: float) -> TimeLeft:
    time_left = TimeLeft(plan, costs, lambda: 0.0)
    time_left.add_step(1, seconds)
    return time_left


def test_the_expected_end_names_what_it_is_made_of():
    time_left = after_one_step(TrainingPlan(90_001, 10_000), TrainingCosts(1, 200.0), 1.0)
    # 90,000 s of steps and ten evaluations of 200 s
    assert describe_expected_end(time_left, 0) == (
        "expected end in 1 day 2 h: 1.000 s per step, 3 min 20 s per evaluation (estimated from the steps)"
    )
    assert describe_expected_end(time_left, 5).endswith("; early stopping (patience 5) may end it earlier")
    assert describe_expected_end(time_left, 5, 25.0).endswith("from the steps); max_hours 25 will end it earlier")
    assert "max_hours" not in describe_expected_end(time_left, 0, 26.0), "a day and 1:34 are left"
    time_left.begin_evaluation()
    time_left.end_evaluation()
    assert describe_expected_end(time_left, 0) == "expected end in 1 day 1 h: 1.000 s per step, 0 s per evaluation"


def test_before_the_first_step_there_is_no_expected_end():
    assert describe_expected_end(TimeLeft(TrainingPlan(10, 0), TrainingCosts(1, 1.0)), 0) == ""


@pytest.mark.parametrize(
    ("step_s", "config_file", "words"),
    [
        (0.9, R50, None),
        (72.0, R50, ("takes 75 days", "GPU", "config_file: configs/CPU/retinanet_R_18_FPN_small.yaml", "image_size")),
        (2.0, R18, ("takes 2 days 2 h", "smaller image_size", "max_epochs")),
    ],
)
def test_a_training_of_days_on_a_cpu(step_s: float, config_file: Path, words: tuple[str, ...] | None):
    warning = long_on_cpu_warning(
        after_one_step(TrainingPlan(90_001, 0), TrainingCosts(1, 0.0), step_s), config_file
    )
    assert bool(warning) == (words is not None)
    for word in words or ():
        assert word in warning
    assert ("configs/CPU" in warning) == (words is not None and config_file == R50)
