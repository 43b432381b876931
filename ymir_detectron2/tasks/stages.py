"""Stages of a training: an evaluated checkpoint becomes an entry of result.yaml and, if it is the best, gets plots."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Mapping

from ..atomic_file import atomic_write
from ..contract.training_result import Stage, TrainingResult
from ..errors import StorageError
from ..evaluation.metrics import Evaluation
from ..training.job import StageWeights
from .extras import extra

_RESERVE_BYTES = 1 << 20
"""For what the platform reads, which is written until the end and must still fit then."""

_Files = Mapping[str, bytes]


def add_stage(
    result: TrainingResult, weights: StageWeights, history_file: Path, image_name: Callable[[str], str] = str
) -> _Files:
    """List a stage in result.yaml, then write what people read: the curves, and the evaluation of the best stage.

    None of the latter costs a model: what cannot be written is one warning.

    Args:
        history_file: training-history.json.
        image_name: how an image is named in evaluation.json, from its path.

    Returns:
        Images for TensorBoard by tag, of the best stage: plots as PNGs, validation images as JPEGs; {} if the stage
        is not the best, or where nothing could be drawn.
    """
    result.add(as_stage(weights))
    _as_extra("history", weights, lambda: _write_history(weights, history_file, result))
    evaluation = weights.evaluation
    if evaluation is None or result.best().name != weights.name:
        return {}
    # first what is quick to make, and what report.html needs
    _as_extra("evaluation file", weights, lambda: _attach_evaluation(evaluation, weights, result, image_name))
    plots = _as_extra("plots", weights, lambda: _attach_plots(evaluation, weights, result))
    images = _as_extra("validation images", weights, lambda: _draw_validation_images(evaluation, result))
    return {**{f"evaluation/{Path(name).stem}": png for name, png in plots.items()}, **images}


def _as_extra(what: str, weights: StageWeights, write: Callable[[], _Files]) -> _Files:
    """Return the files that `write` has written; {} after one warning, whatever goes wrong."""
    files: _Files = {}
    with extra(f"the {what} of {weights.name} {'are' if what.endswith('s') else 'is'} left out"):
        files = write()
    return files


def _write_history(weights: StageWeights, history_file: Path, result: TrainingResult) -> _Files:
    from ..evaluation.training_history import training_history

    history = training_history(weights.step, weights.training_losses, weights.validation_losses, weights.metrics)
    content = history.as_bytes()
    _require_space(result, len(content) + _RESERVE_BYTES)
    with atomic_write(history_file, "wb") as file:
        file.write(content)
    return {history_file.name: content}


def _attach_evaluation(
    evaluation: Evaluation, weights: StageWeights, result: TrainingResult, image_name: Callable[[str], str]
) -> _Files:
    from ..evaluation.evaluation_file import NAME, SECTION
    from ..evaluation.evaluation_summary import summarise

    files = {NAME: summarise(evaluation, weights.name, weights.step, image_name).as_bytes()}
    _require_space(result, len(files[NAME]) + _RESERVE_BYTES)
    result.attach(SECTION, files)
    return files


def _attach_plots(evaluation: Evaluation, weights: StageWeights, result: TrainingResult) -> _Files:
    # here: importing matplotlib takes a second, and not every process of a training plots
    from ..evaluation.evaluation_file import SECTION
    from ..evaluation.report import plot_report

    plots = dict(plot_report(evaluation, weights.training_losses, weights.validation_losses))
    # twice: TensorBoard writes them too
    _require_space(result, 2 * sum(map(len, plots.values())) + _RESERVE_BYTES)
    result.attach(SECTION, plots)
    return plots


def _draw_validation_images(evaluation: Evaluation, result: TrainingResult) -> _Files:
    from ..evaluation.validation_images import draw_validation_images

    images = {f"validation_images/{number}": jpeg for number, jpeg in draw_validation_images(evaluation)}
    _require_space(result, sum(map(len, images.values())) + _RESERVE_BYTES)
    return images


def as_stage(weights: StageWeights) -> Stage:
    """Return the entry of result.yaml, with the metrics that YMIR shows."""
    if weights.evaluation is None:  # saved in a hurry when a stop was requested; the next stage replaces it
        return Stage(weights.name, weights.files, 0.0, measured=False)
    metrics = weights.evaluation.metrics
    figures: dict[str, float | int] = {"mAR": metrics.ar100, "boxAP": metrics.ap}
    if metrics.at_threshold is not None:
        figures.update(metrics.at_threshold.counts._asdict())
    # AP50 is what YMIR calls mAP, whatever the best stage is chosen by
    return Stage(
        weights.name, weights.files, metrics.ap50, figures, score=weights.score,
        best_threshold=metrics.thresholds["all"],
    )  # fmt: skip


def _require_space(result: TrainingResult, needed: int) -> None:
    free = shutil.disk_usage(str(result.models_dir)).free
    if free < needed:
        raise StorageError(f"{result.models_dir}: {free >> 10} KiB are free and {needed >> 10} needed; free some space")
