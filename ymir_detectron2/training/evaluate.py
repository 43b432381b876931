"""Evaluation during a training: the same for both engines, so that their metrics mean the same."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from torch import nn

from .. import distributed
from ..dataset.coco_json import CocoDataset
from ..detections import Detections, Detector
from ..errors import StoppedError
from ..evaluation.metrics import Evaluation, evaluate
from ..inference.predict import predict_images
from .early_stopping import metric_value
from .ema import ModelEma
from .job import TrainJob
from .metric_logger import MetricLogger


def evaluate_detector(
    detector: Detector, dataset: CocoDataset, job: TrainJob, on_image: Callable[[], None] = lambda: None
) -> Evaluation:
    """Run the detector on this process's share of the validation set; return the metrics of the whole set.

    Args:
        on_image: called after each image.

    Raises:
        StoppedError: in all processes, when a stop was requested in one of them.
    """
    rank, world_size = distributed.rank(), distributed.world_size()
    indexes = range(rank, len(dataset), world_size)
    predictions: dict[int, Detections] = {}
    unreadable: set[str] = set()
    images = predict_images(
        detector, (Path(dataset.image_paths[index]) for index in indexes), num_workers=job.settings.num_workers,
        stop_requested=job.stop_requested,
    )  # fmt: skip
    stop: StoppedError | None = None
    try:
        for image, index in zip(images, indexes):
            if image.error is not None:
                unreadable.add(str(image.error))
            detections = image.detections
            if detections is not None:
                # image ids count from 1. Without class_probs: K numbers per box, while a whole set is held in memory
                predictions[index + 1] = Detections(detections.boxes_xyxy, detections.scores, detections.classes)
            on_image()
    except StoppedError as error:
        stop = error
    # a stop too: a process that ended without it would let the others wait here
    shards = distributed.all_gather_object((predictions, unreadable, stop is not None))
    if any(is_stopped for *_, is_stopped in shards):
        raise StoppedError("stopped on request during an evaluation") from stop
    merged = {image_id: detections for shard, *_ in shards for image_id, detections in shard.items()}
    unreadable = set().union(*(names for _, names, _ in shards))
    if unreadable and rank == 0:
        job.on_unreadable("validation", unreadable)
    return evaluate(job.val_json, merged, job.class_names)


class EvaluatedWeights(NamedTuple):
    """Result of the evaluation of one set of weights."""

    evaluation: Evaluation
    score: float
    """The value of `best_metric`, the same in every process."""
    losses: dict[str, float]
    """On the validation set; {} if the engine does not compute them."""


class StageEvaluator:
    """Evaluates the raw weights of a model and their EMA, of which the better ones become the stage."""

    def __init__(
        self, model: nn.Module, evaluate: Callable[[], Evaluation], *, best_metric: str, ema: ModelEma | None = None,
        measure_losses: Callable[[], dict[str, float]] | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            evaluate: evaluates the model as it is; called in all processes together.
            measure_losses: returns the losses of the model on the validation set; called in all processes together.
        """
        self._model = model
        self._evaluate = evaluate
        self._best_metric = best_metric
        self._ema = ema
        self._measure_losses = measure_losses

    @contextlib.contextmanager
    def better_weights(self, step: int, metrics: MetricLogger) -> Iterator[EvaluatedWeights]:
        """Evaluate and log both; within the block the model has the better weights, the raw ones if they are equal."""
        evaluation, score = self._evaluate_weights(step, metrics)
        with contextlib.ExitStack() as stack:
            if self._ema is not None:
                stack.enter_context(self._ema.applied())
                ema_evaluation, ema_score = self._evaluate_weights(step, metrics, "EMA weights")
                if ema_score > score:
                    evaluation, score = ema_evaluation, ema_score
                else:
                    stack.close()  # back to the raw weights
            # of the chosen weights only: each set costs a forward pass per image
            losses = self._measure_losses() if self._measure_losses is not None else {}
            yield EvaluatedWeights(evaluation, score, losses)

    def _evaluate_weights(self, step: int, metrics: MetricLogger, weights: str = "") -> tuple[Evaluation, float]:
        # BN statistics are those of a process: without this, each would evaluate another model than the one of rank 0
        distributed.broadcast_buffers(self._model)
        evaluation = self._evaluate()
        metrics.log_evaluation(step, evaluation.metrics, weights)
        # rank 0 decides: metrics may differ in the last digit, and all processes must choose the same weights
        score = distributed.broadcast_object(metric_value(evaluation.metrics, self._best_metric))
        return evaluation, float(score)
