"""Evaluation during a training: every readable image counts, and the better weights are those of the stage."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.rectangle_detector import BLUE, draw, find_rectangles
from tests.tiny_training import CLASSES, draw_set, job_of, nothing_detected
from ymir_detectron2.dataset.coco_json import CocoDataset, write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.evaluation.metrics import Evaluation
from ymir_detectron2.tile_windows import Tiling
from ymir_detectron2.training.ema import ModelEma
from ymir_detectron2.training.evaluate import StageEvaluator, evaluate_detector
from ymir_detectron2.training.job import TrainJob
from ymir_detectron2.training.metric_logger import MetricLogger


class PerfectDetector:
    """Knows the boxes of a set, by the height and width of its images, which are all different."""

    class_names = CLASSES
    tiling = Tiling()
    preferred_chunk = 2

    def __init__(self, data: CocoDataset) -> None:
        self._objects = {tuple(hw): data.objects(index) for index, hw in enumerate(data.image_hw.tolist())}

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        return image_hw

    def load(self, image_bgr: np.ndarray) -> np.ndarray:
        return image_bgr

    def detect(self, pixels: Sequence[np.ndarray]) -> list[Detections]:
        found = []
        for image in pixels:
            boxes, classes = self._objects[image.shape[:2]]
            found.append(Detections(boxes, np.ones(len(boxes), np.float32), classes))
        return found


def job_over(folder: Path, data: CocoDataset) -> TrainJob:
    job = job_of(folder, {"num_workers": 1})
    records = [
        Record(Path(path), int(hw[1]), int(hw[0]), *data.objects(index))
        for index, (path, hw) in enumerate(zip(data.image_paths, data.image_hw))
    ]
    write_coco_json(job.val_json, records, CLASSES)
    return job


def test_boxes_of_every_image_are_matched_with_those_of_the_same_image(tmp_path: Path):
    data = draw_set(tmp_path)
    evaluation = evaluate_detector(PerfectDetector(data), data, job_over(tmp_path, data))
    assert evaluation.metrics.ap50 == pytest.approx(1.0)
    assert evaluation.metrics.at_threshold is not None
    assert tuple(evaluation.metrics.at_threshold.counts) == (4, 0, 0)


class NearSighted(PerfectDetector):
    """Finds what is in a tile of 32 x 32, and in larger images nothing."""

    def detect(self, pixels: Sequence[np.ndarray]) -> list[Detections]:
        return find_rectangles(pixels, with_probs=False) if max(pixels[0].shape[:2]) <= 32 else [Detections.empty()]

    preferred_chunk = 1


@pytest.mark.parametrize(("tiling", "ap50"), [(Tiling(32, 16), 1.0), (Tiling(), 0.0)], ids=["tiles", "no tiles"])
def test_a_model_trained_on_tiles_is_evaluated_on_tiles_in_pixels_of_the_images(
    tmp_path: Path, tiling: Tiling, ap50: float
):
    """Two squares of 12 px: one inside of a tile, the other at the far corner, in the tile that is moved inside."""
    boxes = np.array([(20, 20, 32, 32), (68, 48, 80, 60)], dtype=np.float32)
    Image.fromarray(draw(*((*map(int, box), BLUE, 250) for box in boxes), height=60, width=80)[:, :, ::-1]).save(
        tmp_path / "a.png"
    )
    path, hw = str(tmp_path / "a.png"), np.array([[60, 80]], dtype=np.int32)
    data = CocoDataset(CLASSES, (path,), hw, np.array([0, 2]), boxes, np.array([0, 0], dtype=np.int64))
    detector = NearSighted(data)
    detector.tiling = tiling
    evaluation = evaluate_detector(detector, data, job_over(tmp_path, data))
    assert evaluation.metrics.ap50 == pytest.approx(ap50)
    assert evaluation.metrics.ap == pytest.approx(ap50)


def test_an_unreadable_image_is_reported_and_does_not_count(tmp_path: Path):
    data = draw_set(tmp_path)
    Path(data.image_paths[2]).write_bytes(b"no image")
    reported: list[tuple[str, set[str]]] = []
    job = dataclasses.replace(job_over(tmp_path, data), on_unreadable=lambda *found: reported.append(found))
    evaluation = evaluate_detector(PerfectDetector(data), data, job)
    ((role, (sentence,)),) = reported
    assert (role, data.image_paths[2] in sentence) == ("validation", True)
    assert evaluation.metrics.at_threshold is not None
    assert tuple(evaluation.metrics.at_threshold.counts) == (3, 0, 0)


def test_a_stop_request_ends_an_evaluation(tmp_path: Path):
    data = draw_set(tmp_path)
    job = dataclasses.replace(job_over(tmp_path, data), stop_requested=lambda: True)
    with pytest.raises(StoppedError):
        evaluate_detector(PerfectDetector(data), data, job)


@pytest.fixture
def metrics(tmp_path: Path) -> MetricLogger:
    return MetricLogger(10, tmp_path)


def raw_2_and_ema_1() -> tuple[nn.Module, ModelEma]:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = ModelEma(model, 0.5)
    nn.init.constant_(model.weight, 2.0)
    return model, ema


@pytest.mark.parametrize(
    ("ap50_of_raw", "ap50_of_ema", "weight"),
    [
        pytest.param(0.2, 0.3, 1.0, id="the EMA is better"),
        pytest.param(0.3, 0.2, 2.0, id="the raw weights are better"),
        pytest.param(0.3, 0.3, 2.0, id="equal"),
    ],
)
def test_within_the_block_the_model_has_the_better_weights(
    tmp_path: Path, metrics: MetricLogger, ap50_of_raw: float, ap50_of_ema: float, weight: float
):
    model, ema = raw_2_and_ema_1()
    values = {2.0: ap50_of_raw, 1.0: ap50_of_ema}

    def evaluate() -> Evaluation:
        evaluation = nothing_detected(tmp_path)
        ap50 = values[model.weight.item()]
        return evaluation._replace(metrics=dataclasses.replace(evaluation.metrics, ap50=ap50))

    evaluator = StageEvaluator(
        model, evaluate, best_metric="map50", ema=ema, measure_losses=lambda: {"weight": model.weight.item()}
    )
    with evaluator.better_weights(3, metrics) as better:
        assert model.weight.item() == weight
        assert better.score == better.evaluation.metrics.ap50 == max(values.values())
        assert better.losses == {"weight": weight}, "the losses are those of the same weights"
    assert model.weight.item() == 2.0


def test_both_evaluations_are_logged(tmp_path: Path, metrics: MetricLogger, caplog: pytest.LogCaptureFixture):
    model, ema = raw_2_and_ema_1()
    evaluator = StageEvaluator(model, lambda: nothing_detected(tmp_path), best_metric="map50", ema=ema)
    with caplog.at_level(logging.INFO), evaluator.better_weights(3, metrics) as better:
        assert better.losses == {}
    assert [message.split(" 0.0000")[0] for message in caplog.messages] == [
        "step 3: AP50", "step 3: AP50 of the EMA weights"
    ]  # fmt: skip


def test_an_error_during_the_evaluation_of_the_ema_leaves_the_raw_weights(tmp_path: Path, metrics: MetricLogger):
    model, ema = raw_2_and_ema_1()

    def evaluate() -> Any:
        if model.weight.item() == 1.0:
            raise StoppedError("stopped")
        return nothing_detected(tmp_path)

    evaluator = StageEvaluator(model, evaluate, best_metric="map50", ema=ema)
    with pytest.raises(StoppedError), evaluator.better_weights(3, metrics):
        raise AssertionError("nothing to save")
    assert torch.equal(model.weight, torch.full((1, 1), 2.0))
