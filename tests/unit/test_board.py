"""What TensorBoard shows of steps, evaluations and pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ymir_detectron2.evaluation.matching import Counts, OperatingPoint
from ymir_detectron2.evaluation.metrics import Metrics
from ymir_detectron2.training.board import Board

METRICS = Metrics(
    0.3, 0.5, 0.2, 0.4, {"cat": 0.3}, {"cat": 0.5}, ap_small=None, ap_large=0.6, ar1=0.1, ar10=0.35,
    at_threshold=OperatingPoint(0.2, Counts(3, 1, 2)), at_best_f1=None,
)  # fmt: skip


def written(folder: Path) -> EventAccumulator:
    (file,) = folder.iterdir()
    return EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_figures_that_there_are_and_none_that_there_are_not(tmp_path: Path):
    board = Board(tmp_path)
    board.add_metrics(7, METRICS)
    board.add_validation_losses(7, {"loss_cls": 0.25})
    board.close()
    events = written(tmp_path)
    found = {tag: events.Scalars(tag)[0] for tag in events.Tags()["scalars"]}
    assert {event.step for event in found.values()} == {7}
    expected = {
        "validation/AP": 0.3, "validation/AP50": 0.5, "validation/AP75": 0.2, "validation/AP_large": 0.6,
        "validation/AR1": 0.1, "validation/AR10": 0.35, "validation/AR100": 0.4, "validation/precision": 0.75,
        "validation/recall": 0.6, "validation/F1": 2 / 3, "validation_AP/cat": 0.3, "validation_AP50/cat": 0.5,
        "validation_loss/loss_cls": 0.25,
    }  # fmt: skip
    assert {tag: round(event.value, 5) for tag, event in found.items()} == {
        tag: round(value, 5) for tag, value in expected.items()
    }


def test_pictures_keep_their_pixels(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    board = Board(tmp_path)
    board.add_pictures(3, {"confusion_matrix.png": png.getvalue()})
    board.close()
    (shown,) = written(tmp_path).Images("evaluation/confusion_matrix")
    assert shown.step == 3
    with Image.open(io.BytesIO(shown.encoded_image_string)) as picture:
        assert np.array_equal(np.asarray(picture), pixels)
