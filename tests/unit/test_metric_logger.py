"""What the log and TensorBoard show of steps, evaluations and plots."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ymir_detectron2.evaluation.matching import Counts, OperatingPoint
from ymir_detectron2.evaluation.metrics import Metrics
from ymir_detectron2.training.metric_logger import MetricLogger, StepStats, TensorBoardLogger

METRICS = Metrics(
    0.3, 0.5, 0.2, 0.4, {"cat": 0.3}, {"cat": 0.5}, ap_small=None, ap_large=0.6, ar1=0.1, ar10=0.35,
    at_threshold=OperatingPoint(0.2, Counts(3, 1, 2)), at_best_f1=None,
)  # fmt: skip


def written(folder: Path) -> EventAccumulator:
    (file,) = folder.iterdir()
    return EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_metrics_that_exist_have_a_curve_and_others_have_none(tmp_path: Path):
    tensorboard = TensorBoardLogger(tmp_path)
    tensorboard.add_metrics(7, METRICS)
    tensorboard.add_validation_losses(7, {"loss_cls": 0.25})
    tensorboard.close()
    events = written(tmp_path)
    points = {tag: events.Scalars(tag)[0] for tag in events.Tags()["scalars"]}
    assert {event.step for event in points.values()} == {7}
    expected = {
        "validation/AP": 0.3, "validation/AP50": 0.5, "validation/AP75": 0.2, "validation/AP_large": 0.6,
        "validation/AR1": 0.1, "validation/AR10": 0.35, "validation/AR100": 0.4, "validation/precision": 0.75,
        "validation/recall": 0.6, "validation/F1": 2 / 3, "validation_AP/cat": 0.3, "validation_AP50/cat": 0.5,
        "validation_loss/loss_cls": 0.25,
    }  # fmt: skip
    assert {tag: round(event.value, 5) for tag, event in points.items()} == {
        tag: round(value, 5) for tag, value in expected.items()
    }


def test_plots_keep_their_pixels(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    tensorboard = TensorBoardLogger(tmp_path)
    tensorboard.add_plots(3, {"confusion_matrix.png": png.getvalue()})
    tensorboard.close()
    (shown,) = written(tmp_path).Images("evaluation/confusion_matrix")
    assert shown.step == 3
    with Image.open(io.BytesIO(shown.encoded_image_string)) as image:
        assert np.array_equal(np.asarray(image), pixels)


def step_stats(step: int) -> StepStats:
    return StepStats(step, {"loss_cls": 0.5, "loss_box_reg": 0.25}, gradient_norm=2.0, learning_rate=0.01, seconds=step)


def logger_in(folder: Path, max_iter: int = 10) -> tuple[MetricLogger, list[float]]:
    progress: list[float] = []
    return MetricLogger(max_iter, folder, progress.append), progress


def test_a_step_goes_to_progress_log_and_curves(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    metrics, progress = logger_in(tmp_path)
    metrics.open(0)
    with caplog.at_level(logging.INFO):
        for step in (1, 2, 3):
            metrics.log_step(step_stats(step))
    metrics.close()
    assert progress == [0.1, 0.2, 0.3]
    assert metrics.seconds_per_step == 2.0
    assert caplog.messages[1] == (
        "step 2/10  loss_cls 0.5000  loss_box_reg 0.2500  lr 0.010000  1.500 s/step  0 min left"
    )
    scalars = written(tmp_path).Tags()["scalars"]
    assert set(scalars) == {
        "loss/loss_cls", "loss/loss_box_reg", "loss/total", "train/learning_rate", "train/gradient_norm",
        "train/seconds_per_step",
    }  # fmt: skip
    assert list(metrics.training_losses.curves()["loss_cls"].steps) == [1, 2, 3]


def test_a_long_run_has_a_hundred_lines_and_a_thousand_points(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    metrics, _ = logger_in(tmp_path, max_iter=5000)
    metrics.open(0)
    with caplog.at_level(logging.INFO):
        for step in range(1, 5001):
            metrics.log_step(step_stats(step))
    metrics.close()
    assert len(caplog.messages) == 101, "the first step, and every fiftieth"
    assert len(written(tmp_path).Scalars("loss/total")) == 1001


def test_evaluations_and_stages_are_a_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    metrics, _ = logger_in(tmp_path)
    with caplog.at_level(logging.INFO):
        metrics.log_evaluation(7, METRICS)
        metrics.log_evaluation(7, METRICS, "EMA weights")
        metrics.log_stage(7, METRICS, {"loss_cls": 0.25})
    assert caplog.messages == [
        "step 7: AP50 0.5000  AP 0.3000  AP75 0.2000  AR 0.4000  AP50 by class: cat 0.500",
        "step 7: AP50 of the EMA weights 0.5000  AP 0.3000  AP75 0.2000  AR 0.4000  AP50 by class: cat 0.500",
        "stage of step 7: validation loss_cls 0.2500  score > 0.2: 3 tp, 1 fp, 2 fn",
    ]


def test_other_processes_write_nothing_and_time_their_steps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANK", "1")
    metrics, progress = logger_in(tmp_path)
    metrics.open(0)
    with caplog.at_level(logging.INFO):
        metrics.log_step(step_stats(4))
        metrics.log_evaluation(4, METRICS)
    metrics.close()
    assert (progress, caplog.messages, list(tmp_path.iterdir())) == ([], [], [])
    assert metrics.seconds_per_step == 4.0


def test_a_resumed_run_hides_the_points_behind_its_checkpoint(tmp_path: Path):
    first, _ = logger_in(tmp_path)
    first.open(0)
    for step in (1, 2, 3):
        first.log_step(step_stats(step))
    first.close()
    second, _ = logger_in(tmp_path)
    second.load_state_dict(first.state_dict())
    second.open(2)
    second.log_step(step_stats(3))
    second.close()
    # a folder is read as TensorBoard does, in the order of its files
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 3]
