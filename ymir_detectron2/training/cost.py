"""What a training costs, in sentences: said before it starts and as soon as its first steps have been timed."""

from __future__ import annotations

from pathlib import Path

from ..progress import describe_duration
from .time_left import TimeLeft
from .training_plan import TrainingPlan

MANY_PASSES = 200
"""Passes through a set from which on a training is far more likely to be mistaken than to gain by it."""
LONG_ON_CPU_S = 86_400.0
_SMALL_CONFIG = "configs/CPU/retinanet_R_18_FPN_small.yaml"


def describe_plan(plan: TrainingPlan, *, batch_size: int, num_train_images: int, num_val_images: int) -> str:
    """Return what there is to do, in epochs and evaluations."""
    count = plan.evaluations_between(0, plan.end_step)
    evaluations = f"{count} evaluations on {num_val_images} validation images, every {plan.eval_period} steps"
    if count == 1:
        evaluations = f"1 evaluation on {num_val_images} validation images, after the last step"
    epochs = plan.end_step * batch_size / num_train_images
    return f"{_three_digits(epochs)} epochs of {num_train_images} training images; {evaluations}"


def _three_digits(number: float) -> str:
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def many_passes_warning(plan: TrainingPlan, *, batch_size: int, num_train_images: int, patience: int) -> str:
    """Return a warning of a set that is gone through too often; '' where it is not, or early stopping is on."""
    passes = plan.end_step * batch_size / num_train_images
    if passes <= MANY_PASSES or patience:
        return ""
    return (
        f"the {num_train_images} training images are gone through {passes:.0f} times, and more than {MANY_PASSES}"
        " passes seldom help; set max_epochs (such as 50) or max_iter, or let early stopping end the training"
        " (patience, such as 5)"
    )


def describe_expected_end(time_left: TimeLeft, patience: int, max_hours: float = 0.0) -> str:
    """Return when the task is expected to end, and what its steps and evaluations take; '' before the first step."""
    left_s, step_s, evaluation_s = time_left.left_s, time_left.seconds_per_step, time_left.seconds_per_evaluation
    if left_s is None or step_s is None or evaluation_s is None:
        return ""
    is_estimate = not time_left.is_evaluation_measured
    evaluation = describe_duration(evaluation_s) + " per evaluation" + " (estimated from the steps)" * is_estimate
    earlier = f"; early stopping (patience {patience}) may end it earlier" if patience else ""
    if 0 < 3600 * max_hours < left_s:
        earlier = f"; max_hours {max_hours:g} will end it earlier"
    return f"expected end in {describe_duration(left_s)}: {step_s:.3f} s per step, {evaluation}{earlier}"


def long_on_cpu_warning(time_left: TimeLeft, config_file: Path) -> str:
    """Return a warning of a training of days on a CPU, with what makes it shorter; '' where it is none."""
    left_s = time_left.left_s
    if left_s is None or left_s <= LONG_ON_CPU_S:
        return ""
    network = "" if config_file.match(_SMALL_CONFIG) else f"config_file: {_SMALL_CONFIG}, "
    return (
        f"on the CPU this training takes {describe_duration(left_s)}; use a GPU (gpu_id), or {network}a smaller"
        " image_size (such as 320) or fewer steps (max_epochs, max_iter)"
    )
