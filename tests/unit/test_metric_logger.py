"""What the log and TensorBoard show of steps and evaluations."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ymir_detectron2.evaluation.matching import Counts, OperatingPoint
from ymir_detectron2.evaluation.metrics import Metrics
from ymir_detectron2.training.metric_logger import MetricLogger, StepStats
from ymir_detectron2.training.training_plan import TrainingPlan

METRICS = Metrics(
    0.3, 0.5, 0.2, 0.4, {"cat": 0.3}, {"cat": 0.5}, ap_small=None, ap_large=0.6, ar1=0.1, ar10=0.35,
    at_threshold=OperatingPoint(0.2, Counts(3, 1, 2)), at_best_f1=None,
)  # fmt: skip


def written(folder: Path) -> EventAccumulator:
    (file,) = folder.iterdir()
    return EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 0}).Reload()


def step_stats(step: int) -> StepStats:
    return StepStats(step, {"loss_cls": 0.5, "loss_box_reg": 0.25}, gradient_norm=2.0, learning_rate=0.01, seconds=step)


def test_a_step_goes_to_the_curves(tmp_path: Path):
    metrics = MetricLogger(TrainingPlan(10, 0), tmp_path)
    metrics.open(0)
    for step in (1, 2, 3):
        metrics.add_step(step_stats(step))
    metrics.close()
    scalars = written(tmp_path).Tags()["scalars"]
    assert set(scalars) == {
        "loss/loss_cls", "loss/loss_box_reg", "loss/total", "train/learning_rate", "train/gradient_norm",
        "train/seconds_per_step",
    }  # fmt: skip
    assert list(metrics.training_losses.curves()["loss_cls"].steps) == [1, 2, 3]


def test_a_long_run_has_a_thousand_points(tmp_path: Path):
    metrics = MetricLogger(TrainingPlan(5000, 0), tmp_path)
    metrics.open(0)
    for step in range(1, 5001):
        metrics.add_step(step_stats(step))
    metrics.close()
    assert len(written(tmp_path).Scalars("loss/total")) == 1001


def test_evaluations_and_stages_are_a_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    metrics = MetricLogger(TrainingPlan(10, 0), tmp_path)
    with caplog.at_level(logging.INFO):
        metrics.log_evaluation(7, METRICS)
        metrics.log_evaluation(7, METRICS, "EMA weights")
        metrics.log_stage(7, METRICS, {"loss_cls": 0.25})
    assert caplog.messages == [
        "step 7: AP50 0.5000  AP 0.3000  AP75 0.2000  AR 0.4000  AP50 by class: cat 0.500",
        "step 7: AP50 of the EMA weights 0.5000  AP 0.3000  AP75 0.2000  AR 0.4000  AP50 by class: cat 0.500",
        "stage of step 7: validation loss_cls 0.2500  score > 0.2: 3 tp, 1 fp, 2 fn",
    ]


def test_other_processes_write_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANK", "1")
    metrics = MetricLogger(TrainingPlan(10, 0), tmp_path)
    metrics.open(0)
    with caplog.at_level(logging.INFO):
        metrics.add_step(step_stats(4))
        metrics.log_evaluation(4, METRICS)
    metrics.close()
    assert (caplog.messages, list(tmp_path.iterdir())) == ([], [])


def test_a_resumed_run_hides_the_points_behind_its_checkpoint(tmp_path: Path):
    first = MetricLogger(TrainingPlan(10, 0), tmp_path)
    first.open(0)
    for step in (1, 2, 3):
        first.add_step(step_stats(step))
    first.close()
    second = MetricLogger(TrainingPlan(10, 0), tmp_path)
    second.load_state_dict(first.state_dict())
    second.open(2)
    second.add_step(step_stats(3))
    second.close()
    # a folder is read as TensorBoard does, in the order of its files
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 3]
