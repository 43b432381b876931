"""How far detections support labels, and labels detections, in numbers that are alike for all classes.

    support of a label    the largest score x IoU of a detection of its class; with IoU cubed, a loose box has little
    rival                 the same of a detection of any other class at this label

Both are divided by what is usual for the class in the set, so that a class which the model is never sure of is judged
by its own standard. Letters: G labels and N detections of one image, M labels of a set, K classes.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from ..box_geometry import pairwise_iou
from .matching import UNMATCHED, EvaluatedImage, match_image

IOU_POWERS = (1, 3)
_MOST_TIMES = 2.0
"""Of what is usual: more says nothing more."""
_FEW = 5
"""Labels of a class from which on it has a standard of its own."""
_LEAST_USUAL = 0.02


class Standard(NamedTuple):
    """What is usual in a set."""

    supports: np.ndarray
    """(2, K) median support of the labels of each class, for both IOU_POWERS."""
    weak_shares: np.ndarray
    """(K,) share of the labels of each class with less than half of the usual support of all: the model misses these
    objects anyway."""
    scores: np.ndarray
    """(K,) median score of the detections of each class that match a label."""
    false_shares: np.ndarray
    """(K,) share of the detections of each class with more than half of the usual score that match no label."""


def label_features(
    boxes_xyxy: np.ndarray, classes: np.ndarray, image: EvaluatedImage, standard: Standard
) -> np.ndarray:
    """Return (G, 5): support and rival for both IOU_POWERS in units of what is usual, and the weak share of the class.

    Args:
        boxes_xyxy: (G, 4) labels, as they are in the image or as they might be.
        classes: (G,) of them.
        image: its detections.
    """
    usual = standard.supports[:, image.pred_classes]  # (2, N)
    own, rival = _own_and_rival(boxes_xyxy, classes, image, usual)
    parts = np.concatenate([own, rival])  # (4, G)
    return np.column_stack([np.minimum(parts, _MOST_TIMES).T, standard.weak_shares[classes]])


def detection_features(image: EvaluatedImage, overlaps: np.ndarray, standard: Standard) -> np.ndarray:
    """Return (N, 3): score in units of what is usual, overlap with labels, false share of the class.

    Args:
        overlaps: (N,) the largest IoU with a label, whatever its class.
    """
    times = image.pred_scores / standard.scores[image.pred_classes]
    return np.column_stack(
        [np.minimum(times, _MOST_TIMES), overlaps, standard.false_shares[image.pred_classes]]
    )


def measure_standard(images: Sequence[EvaluatedImage], num_classes: int) -> Standard:
    """Return what is usual in a set; classes with few labels have the standard of all."""
    ones = [np.ones((len(IOU_POWERS), len(image.pred_scores))) for image in images]
    supports = [
        _own_and_rival(image.gt_boxes, image.gt_classes, image, usual)[0] for image, usual in zip(images, ones)
    ]
    own = np.concatenate([np.zeros((len(IOU_POWERS), 0)), *supports], axis=1)  # (2, M)
    label_classes = _joined([image.gt_classes for image in images], np.int64)
    usual = np.stack([_median_by_class(row, label_classes, num_classes) for row in own])
    weak_shares = _share_by_class(own[0] < _half_of_usual(own[0]), label_classes, num_classes)

    scores = _joined([image.pred_scores for image in images], np.float64)
    classes = _joined([image.pred_classes for image in images], np.int64)
    is_true = _joined([match_image(image) != UNMATCHED for image in images], np.bool_)
    counted = scores > _half_of_usual(scores[is_true])
    return Standard(
        usual, weak_shares, _median_by_class(scores[is_true], classes[is_true], num_classes),
        _share_by_class(~is_true[counted], classes[counted], num_classes),
    )  # fmt: skip


def _own_and_rival(
    boxes_xyxy: np.ndarray, classes: np.ndarray, image: EvaluatedImage, usual: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(2, G) each: the best detection of the own class, and of all others, for both IOU_POWERS.

    Args:
        usual: (2, N) by which a detection is divided.
    """
    iou = pairwise_iou(boxes_xyxy, image.pred_boxes)  # (G, N)
    is_own = classes[:, None] == image.pred_classes
    values = np.stack([iou**power * image.pred_scores / row for power, row in zip(IOU_POWERS, usual)])  # (2, G, N)
    own = np.where(is_own, values, 0.0).max(axis=2, initial=0.0)
    return own, np.where(is_own, 0.0, values).max(axis=2, initial=0.0)


def _median_by_class(values: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    medians = np.full(num_classes, max(_LEAST_USUAL, _median(values)))
    for class_id, count in enumerate(np.bincount(classes, minlength=num_classes).tolist()):
        if count >= _FEW:
            medians[class_id] = max(_LEAST_USUAL, _median(values[classes == class_id]))
    return medians


def _share_by_class(chosen: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """(K,) share of the samples of a class that are chosen, drawn to that of all as if _FEW samples more had it."""
    of_all = float(chosen.mean()) if len(chosen) else 0.0
    counts = np.bincount(classes, minlength=num_classes)
    shares: np.ndarray = (np.bincount(classes[chosen], minlength=num_classes) + _FEW * of_all) / (counts + _FEW)
    return shares


def _half_of_usual(values: np.ndarray) -> float:
    return 0.5 * max(_LEAST_USUAL, _median(values))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *arrays])
