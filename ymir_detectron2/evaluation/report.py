"""All pictures of an evaluation and of the training that led to it, under the names of their files."""

from __future__ import annotations

from typing import Iterator, Mapping

from .confusion import confusion_matrix
from .curves import confidence_curve, precision_by_class
from .drawing import (
    draw_ap_by_class,
    draw_confidence,
    draw_confusion,
    draw_losses,
    draw_precision_recall,
)
from .loss_curve import LossCurve
from .matching import SCORE_THRESHOLD
from .metrics import Evaluation
from .picture_sheet import draw_worst
from .worst import worst_pictures

FILE_NAMES = (
    "precision_recall.png",
    "confidence.png",
    "confusion_matrix.png",
    "ap_by_class.png",
    "worst_pictures.png",
    "losses.png",
)


def draw_report(
    evaluation: Evaluation,
    training_losses: Mapping[str, LossCurve],
    validation_losses: Mapping[str, LossCurve],
    *,
    score_threshold: float = SCORE_THRESHOLD,
) -> Iterator[tuple[str, bytes]]:
    """Yield name and PNG of each of FILE_NAMES, one after the other; it takes some seconds.

    Args:
        score_threshold: for the confusion matrix and the worst pictures.
    """
    metrics, names = evaluation.metrics, evaluation.class_names
    pictures, matches = evaluation.pictures, evaluation.matches
    yield "precision_recall.png", draw_precision_recall(precision_by_class(matches), names)
    yield "confidence.png", draw_confidence(confidence_curve(matches), metrics.at_best_f1)
    matrix = confusion_matrix(pictures, len(names), score_threshold)
    yield "confusion_matrix.png", draw_confusion(matrix, names, score_threshold)
    yield "ap_by_class.png", draw_ap_by_class(metrics.ap_by_class, metrics.ap50_by_class, names)
    worst = worst_pictures(pictures, matches, score_threshold)
    yield "worst_pictures.png", draw_worst(worst, pictures, names)
    yield "losses.png", draw_losses(training_losses, validation_losses)
