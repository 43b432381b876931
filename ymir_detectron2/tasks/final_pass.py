"""The pass over both sets with the weights of the best stage, after a training: detections and peaks of images.

In the first process only: the others have ended by then. Whoever uses the pass treats it as an extra (extras.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from ..config.prediction_settings import InferSettings
from ..config.train_settings import TrainSettings
from ..contract.model_package import ModelPackage
from ..contract.training_result import Stage
from ..dataset.coco_json import CocoDataset, load_coco_json
from ..detections import Detections, Detector
from ..engines.base import DetectorOptions
from ..engines.registry import load_engine
from ..evaluation.matching import EvaluatedImage
from ..inference.predict import ImagePrediction, PredictionHooks, predict_images
from ..mining.peaks import ImagePeaks, extract_peaks
from ..training.job import TrainJob, TrainSummary
from .prediction_progress import PredictionProgress
from .script import TaskRun

TRAINING, VALIDATION = "training", "validation"
SCORE_THRESHOLD = 0.05
"""As in an evaluation of detectron2: what scores less supports no label."""
_MOST_SECONDS_OF_SEVERAL_MACHINES = 240.0
"""Torch's launcher waits 300 s for the first machine when the processes of another one have ended."""


@dataclass(frozen=True)
class FinalPass:
    """What came out of the pass."""

    sets: Mapping[str, Sequence[EvaluatedImage]]
    """By TRAINING and VALIDATION: the images that could be read, with their labels and detections."""
    set_sizes: Mapping[str, int]
    """Images of each set, of which the pass may have seen some."""
    peaks: Sequence[Sequence[ImagePeaks]]
    """Of the tiles of the training images in `sets`; () where the network has no score maps."""


def run_final_pass(
    run: TaskRun[TrainSettings], job: TrainJob, best: Stage, summary: TrainSummary
) -> FinalPass:
    """Predict images of both sets, evenly spaced in each; the training set first, which mining wants to know of.

    Args:
        best: the stage whose weights predict.
        summary: says how many images at most, where one with tiles counts as often as it passes through the network.

    Raises:
        StoppedError: a stop was requested.
        ModelError and others: of the engine.
    """
    datasets = {TRAINING: load_coco_json(job.train_json), VALIDATION: load_coco_json(job.val_json)}
    detector = _load_detector(run.engine_name, job, best, summary.precision)
    chosen = choose_images(datasets, summary.final_pass_images / _mean_views(detector, datasets.values()))
    total = sum(map(len, chosen.values()))
    reached = min(run.monitor.reached, 0.999)
    start_s = time.monotonic()

    def should_stop() -> bool:
        is_late = run.is_multi_node and time.monotonic() - start_s > _MOST_SECONDS_OF_SEVERAL_MACHINES
        return run.stop.requested() or is_late

    sets: dict[str, list[EvaluatedImage]] = {TRAINING: [], VALIDATION: []}
    peaks: list[Sequence[ImagePeaks]] = []
    with PredictionProgress(run, "reviewed", total, passed=round(total * reached / (1 - reached))) as progress:
        for name, dataset in datasets.items():
            hooks = PredictionHooks()
            if name == TRAINING and detector.has_dense_outputs:
                hooks = PredictionHooks(extract_peaks, lambda names, pixels, detections, extracted: extracted)
            paths = [Path(dataset.image_paths[index]) for index in chosen[name].tolist()]
            images = predict_images(
                detector, paths, hooks=hooks, num_workers=job.settings.num_workers, stop_requested=should_stop
            )
            for index, image in zip(chosen[name].tolist(), images):
                progress.update(sum(map(len, sets.values())) + 1)
                if image.detections is None:
                    continue
                sets[name].append(_evaluated_image(dataset, index, image))
                if hooks.extract is not None:
                    peaks.append(image.tile_scores)
    sizes = {name: len(dataset) for name, dataset in datasets.items()}
    return FinalPass(sets, sizes, peaks)


def choose_images(datasets: Mapping[str, Sequence[Any]], most: float) -> dict[str, np.ndarray]:
    """Return positions in each set, evenly spaced, at most so many in all; a set comes before those after it."""
    chosen: dict[str, np.ndarray] = {}
    left = int(most + 1e-9)
    for name, dataset in datasets.items():
        count = min(len(dataset), left)
        chosen[name] = np.arange(count) * len(dataset) // max(1, count)
        left -= count
    return chosen


def _load_detector(engine_name: str, job: TrainJob, best: Stage, precision: str) -> Detector:
    weights = job.models_dir / next(name for name in best.files if name.endswith(".pth"))
    package = ModelPackage(weights, job.models_dir / best.name / "config.yaml", job.class_names, "the best stage")
    # not the key, whose warning stands in the log already where the device does not have it
    settings = InferSettings(precision=precision, num_workers=job.settings.num_workers)
    # without the copies of test-time augmentation: the time of the pass is bounded by its images
    overrides = {"TEST.AUG.ENABLED": False}
    options = DetectorOptions(settings, job.gpu_ids, SCORE_THRESHOLD, 0, overrides, job.class_names)
    return load_engine(engine_name).load_detector(package, options)


def _mean_views(detector: Detector, datasets: Any) -> float:
    """Return how often an image passes through the network on average: once, and once for each of its tiles."""
    hws = [tuple(hw) for dataset in datasets for hw in dataset.image_hw.tolist()]
    return sum(len(detector.tiling.windows(hw)) for hw in hws) / max(1, len(hws)) if detector.tiling.size else 1.0


def _evaluated_image(dataset: CocoDataset, index: int, image: ImagePrediction) -> EvaluatedImage:
    assert image.detections is not None
    boxes, classes = dataset.objects(index)
    found = _finite(image.detections)
    height, width = dataset.image_hw[index].tolist()
    return EvaluatedImage(
        dataset.image_paths[index], boxes.astype(np.float64), classes, found.boxes_xyxy.astype(np.float64),
        found.scores.astype(np.float64), found.classes, (height, width),
    )  # fmt: skip


def _finite(detections: Detections) -> Detections:
    # a diverged training predicts NaN, about which nothing can be said
    return detections.take(np.isfinite(detections.boxes_xyxy).all(axis=1) & np.isfinite(detections.scores))
