"""The evaluation of a stage reduced to evaluation.json: figures of every class, and a few images.

Letters: K classes, T score thresholds, N detections and G ground-truth boxes of one image.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

from ..contract.training_result import IOU_THRESHOLD
from ..errors import printable
from .confusion import confusion_matrix, confusion_steps, most_confused
from .evaluation_file import FORMAT, ClassEvaluation, Confusion, EvaluationFile, Example, Point
from .matching import EvaluatedImage, Matches, OperatingPoint, operating_point
from .metrics import Evaluation
from .worst_images import worst_images

CONFUSION_ROWS = 15
"""Classes with a row of their own in the confusion matrix, if there are more than that and one."""
EXAMPLES = 24
"""Images of each kind: those with the most errors, and some evenly over the set."""
_MAX_BOXES = 300
"""Ground truth and detections of an example, each."""


def summarise(
    evaluation: Evaluation, stage: str, step: int, image_name: Callable[[str], str] = str
) -> EvaluationFile:
    """Reduce an evaluation to what the page shows; a second for a thousand images.

    Args:
        image_name: the name of an image in the file, from its path.
    """
    metrics = evaluation.metrics
    best = metrics.at_best_f1
    default = metrics.at_threshold or operating_point(evaluation.matches)
    thresholds = _thresholds(default, best)
    errors = worst_images(evaluation.images, evaluation.matches, metrics.best_threshold, EXAMPLES)
    worst, count = [each.image_index for each in errors], len(evaluation.images)
    typical = np.linspace(0, count - 1, min(EXAMPLES, count)).round().astype(int).tolist()
    shown = sorted({*worst, *typical})
    return EvaluationFile(
        format=FORMAT, stage=stage, step=step, images=count, iou_threshold=IOU_THRESHOLD,
        ap=metrics.ap, ap50=metrics.ap50, ap75=metrics.ap75, ar100=metrics.ar100,
        ap_by_size={"small": metrics.ap_small, "medium": metrics.ap_medium, "large": metrics.ap_large},
        default=Point.of(default), best=None if best is None else Point.of(best),
        thresholds=thresholds.tolist(),
        classes=_classes(evaluation, thresholds),
        confusion=_confusion(evaluation, thresholds),
        examples=[_example(index, evaluation, image_name) for index in shown],
        worst=[shown.index(index) for index in worst], typical=[shown.index(index) for index in typical],
    )  # fmt: skip


def _thresholds(*points: OperatingPoint | None) -> np.ndarray:
    """(T,) float64: in steps of 0.01, and those of some points, so that their counts are exact."""
    steps = [number / 100 for number in range(101)]
    return np.unique([*steps, *(point.score_threshold for point in points if point is not None)])


def _classes(evaluation: Evaluation, thresholds: np.ndarray) -> list[ClassEvaluation]:
    metrics, matches = evaluation.metrics, evaluation.matches
    tp = _counts_by_level(matches, thresholds, matches.is_tp)
    fp = _counts_by_level(matches, thresholds, ~matches.is_tp)
    curves = evaluation.precision_by_class
    images_of = np.zeros(len(evaluation.class_names), dtype=np.int64)
    for image in evaluation.images:
        images_of[np.unique(image.gt_classes)] += 1
    return [
        ClassEvaluation(
            name=name,
            images=int(images_of[index]),
            boxes=int(matches.gt_counts[index]),
            ap=metrics.ap_by_class.get(name),
            ap50=metrics.ap50_by_class.get(name),
            best=Point.of(metrics.best_f1_by_class[name]) if name in metrics.best_f1_by_class else None,
            precision=curves[index].round(4).tolist() if index in curves else [],
            tp=tp[index].tolist(),
            fp=fp[index].tolist(),
        )
        for index, name in enumerate(evaluation.class_names)
    ]


def _counts_by_level(matches: Matches, thresholds: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(K, T): detections of each class that score above a threshold and not above the next one.

    Args:
        chosen: (D,) bool: the detections to count.
    """
    K, T = len(matches.gt_counts), len(thresholds)
    levels = np.searchsorted(thresholds, matches.scores, side="left") - 1
    chosen = chosen & (levels >= 0) & ~np.isnan(matches.scores)
    cells = matches.classes[chosen] * T + levels[chosen]
    return np.bincount(cells, minlength=K * T).reshape(K, T)


def _confusion(evaluation: Evaluation, thresholds: np.ndarray) -> Confusion:
    """Count confusion matrices, with rows of their own for the classes with the most errors at the best threshold."""
    K = len(evaluation.class_names)
    kept = np.arange(K)
    if K > CONFUSION_ROWS + 1:
        matrix = confusion_matrix(evaluation.images, K, evaluation.metrics.best_threshold)
        kept = most_confused(matrix, CONFUSION_ROWS)
    groups = np.full(K, len(kept))
    groups[kept] = np.arange(len(kept))
    steps = confusion_steps(evaluation.images, groups, thresholds)
    rows = zip(*(column.tolist() for column in steps))
    return Confusion(classes=kept.tolist(), has_others=len(kept) < K, steps=list(rows))


def _example(index: int, evaluation: Evaluation, image_name: Callable[[str], str]) -> Example:
    image, starts = evaluation.images[index], evaluation.matches.starts
    pred_gt = evaluation.matches.gt_index[starts[index] : starts[index + 1]]  # (N,)
    shown = _best_first(image)[:_MAX_BOXES]
    height, width = image.image_hw
    return Example(
        image=printable(image_name(image.path)),
        height=height,
        width=width,
        gt_boxes=image.gt_boxes[:_MAX_BOXES].round(1).tolist(),
        gt_classes=image.gt_classes[:_MAX_BOXES].tolist(),
        pred_boxes=image.pred_boxes[shown].round(1).tolist(),
        pred_classes=image.pred_classes[shown].tolist(),
        pred_scores=image.pred_scores[shown].tolist(),
        pred_gt=pred_gt[shown].tolist(),
        omitted=max(0, len(image.gt_boxes) - _MAX_BOXES) + max(0, len(image.pred_boxes) - _MAX_BOXES),
    )


def _best_first(image: EvaluatedImage) -> np.ndarray:
    """Indices of the detections by falling score, without those that have no place or score."""
    finite = np.isfinite(image.pred_boxes).all(axis=1) & np.isfinite(image.pred_scores)
    order = np.argsort(-image.pred_scores, kind="stable")
    return np.asarray(order[finite[order]])
