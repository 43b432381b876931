"""Stages of a training: an evaluated checkpoint becomes an entry of result.yaml and, if it is the best, gets plots."""

from __future__ import annotations

import logging
import shutil
from typing import Mapping

from ..contract.training_result import Stage, TrainingResult
from ..errors import StorageError
from ..failure import find_worker_death
from ..training.job import StageWeights

logger = logging.getLogger(__name__)

_ATTACHMENTS = "evaluation"
"""The section of result.yaml that lists the plots."""
_RESERVE_BYTES = 1 << 20
"""For what the platform reads, which is written until the end and must still fit then."""


def add_stage(result: TrainingResult, weights: StageWeights) -> Mapping[str, bytes]:
    """List a stage in result.yaml, then plot the evaluation of the best one; return the plots as PNGs by name.

    {} if it is not the best, or cannot be plotted: one warning, since plots must not cost a model.
    """
    result.add(as_stage(weights))
    if weights.evaluation is None or result.best().name != weights.name:
        return {}
    try:
        # here: importing matplotlib takes a second, and not every process of a training plots
        from ..evaluation.report import plot_report

        plots = dict(plot_report(weights.evaluation, weights.training_losses, weights.validation_losses))
        # twice: TensorBoard writes them too
        _require_space(result, 2 * sum(map(len, plots.values())) + _RESERVE_BYTES)
        result.attach(_ATTACHMENTS, plots)
    except Exception as error:  # matplotlib and its fonts raise whatever they like
        # unless a data-loading worker was killed, whose death torch raises wherever the main process happens to be
        death = find_worker_death(error)
        if death is not None:
            raise death from None
        finding = " ".join(f"{type(error).__name__}: {error}".split())
        logger.warning("the plots of %s are left out: %s", weights.name, finding)
        return {}
    return plots


def as_stage(weights: StageWeights) -> Stage:
    """Return the entry of result.yaml, with the metrics that YMIR shows."""
    if weights.evaluation is None:  # saved in a hurry when a stop was requested; the next stage replaces it
        return Stage(weights.name, weights.files, 0.0, measured=False)
    metrics = weights.evaluation.metrics
    figures: dict[str, float | int] = {"mAR": metrics.ar100, "boxAP": metrics.ap}
    if metrics.at_threshold is not None:
        figures.update(metrics.at_threshold.counts._asdict())
    # AP50 is what YMIR calls mAP, whatever the best stage is chosen by
    return Stage(weights.name, weights.files, metrics.ap50, figures, score=weights.score)


def _require_space(result: TrainingResult, needed: int) -> None:
    free = shutil.disk_usage(str(result.models_dir)).free
    if free < needed:
        raise StorageError(f"{result.models_dir}: {free >> 10} KiB are free and {needed >> 10} needed; free some space")
