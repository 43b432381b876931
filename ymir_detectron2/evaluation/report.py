"""All plots of an evaluation and of the training that led to it, under the names of their files."""

from __future__ import annotations

from typing import Iterator, Mapping

from .confusion import confusion_matrix
from .curves import confidence_curve
from .loss_curve import LossCurve
from .metrics import Evaluation
from .plots import plot_ap_by_class, plot_confidence, plot_confusion, plot_losses, plot_precision_recall
from .worst_images import plot_worst_images, worst_images

FILE_NAMES = (
    "precision_recall.png",
    "confidence.png",
    "confusion_matrix.png",
    "ap_by_class.png",
    "worst_pictures.png",
    "losses.png",
)
"""Fixed: models in use are packed with these names, and TensorBoard's tags are made from them."""


def plot_report(
    evaluation: Evaluation,
    training_losses: Mapping[str, LossCurve],
    validation_losses: Mapping[str, LossCurve],
) -> Iterator[tuple[str, bytes]]:
    """Yield name and PNG of each of FILE_NAMES, one after the other; all of them take some seconds.

    The confusion matrix and the worst images are those at the best threshold, which they say; the other plots take
    detections of any score.
    """
    metrics, names = evaluation.metrics, evaluation.class_names
    images, matches = evaluation.images, evaluation.matches
    yield "precision_recall.png", plot_precision_recall(evaluation.precision_by_class, names)
    yield "confidence.png", plot_confidence(confidence_curve(matches), metrics.at_best_f1)
    matrix = confusion_matrix(images, len(names), metrics.best_threshold)
    yield "confusion_matrix.png", plot_confusion(matrix, names, metrics.best_threshold)
    yield "ap_by_class.png", plot_ap_by_class(metrics.ap_by_class, metrics.ap50_by_class, names)
    worst = worst_images(images, matches, metrics.best_threshold)
    yield "worst_pictures.png", plot_worst_images(worst, images, names, metrics.best_threshold)
    yield "losses.png", plot_losses(training_losses, validation_losses)
