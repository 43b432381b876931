"""What becomes of a checkpoint that an engine offers: its lines in result.yaml and, when it is the best, pictures."""

from __future__ import annotations

import logging
import shutil
from typing import Mapping

from ..contract.training_result import SCORE_THRESHOLD, Stage, TrainingResult
from ..engines.base import StageWeights
from ..errors import StorageError
from ..verdict import death_of_reader

logger = logging.getLogger(__name__)

SECTION = "evaluation"
"""Of the attachments in result.yaml."""
_ROOM_TO_LEAVE = 1 << 20  # bytes


def add_stage(result: TrainingResult, weights: StageWeights) -> Mapping[str, bytes]:
    """List a stage, and only then draw the pictures of the best one; they are returned as PNGs by name."""
    result.add(as_stage(weights))
    if weights.evaluation is None or result.best().name != weights.name:
        return {}
    try:
        pictures = _drawn(weights)
        _require_room(result, pictures)
        result.attach(SECTION, pictures)
    except Exception as error:  # whatever matplotlib and its fonts come up with: pictures must not cost a model
        death = death_of_reader(error)
        if death is not None:
            raise death from None
        finding = " ".join(f"{type(error).__name__}: {error}".split())
        logger.warning("the pictures of %s are left out: %s", weights.name, finding)
        return {}
    return pictures


def as_stage(weights: StageWeights) -> Stage:
    """The figures that YMIR shows."""
    if weights.evaluation is None:
        return Stage(weights.name, weights.files, 0.0, measured=False)
    metrics = weights.evaluation.metrics
    figures: dict[str, float | int] = {"mAR": metrics.ar100, "boxAP": metrics.ap}
    if metrics.at_threshold is not None:
        figures.update(metrics.at_threshold.counts._asdict())
    return Stage(weights.name, weights.files, metrics.ap50, figures, score=weights.score)


def _require_room(result: TrainingResult, pictures: Mapping[str, bytes]) -> None:
    """Twice: TensorBoard has them too. What the platform reads is written until the end and must still fit then."""
    needed = 2 * sum(map(len, pictures.values())) + _ROOM_TO_LEAVE
    free = shutil.disk_usage(str(result.models_dir)).free
    if free < needed:
        raise StorageError(f"{result.models_dir}: {free >> 10} KiB are free and {needed >> 10} needed; free some space")


def _drawn(weights: StageWeights) -> Mapping[str, bytes]:
    from ..evaluation.report import draw_report  # matplotlib takes a second, and is of use here alone

    assert weights.evaluation is not None  # only what was measured is drawn
    return dict(
        draw_report(
            weights.evaluation, weights.training_losses, weights.validation_losses, score_threshold=SCORE_THRESHOLD
        )
    )
