"""Labels that a trained model contradicts, the most suspicious first.

    missing       a detection that looks like those which match labels, and there is no label
    wrong class   a detection of another class where the label is
    loose         a detection of its class that overlaps the label, with another box
    spurious      a label where the model sees hardly anything
    duplicate     a label that another one of its class covers

The score is the probability that the label is wrong, if two labels in a hundred are wrong in each of the ways. For the
first four kinds it is learned from the set itself by logistic regression: what tells labels from labels that were made
wrong on purpose (simulated_errors.py), and detections without a label from those with one. So one list holds all kinds,
and a set whose objects the model often misses, or whose objects were often not labelled, has its own standard.

FiftyOne's mistakenness (score and IoU of the detection that matches a label; unmatched ones are only marked) and
cleanlab's ObjectLab (arXiv 2309.00832: overlooked, swapped, badly located) have a scale of its own for each kind.
"Identifying Label Errors in Object Detection Datasets by Loss Inspection" (arXiv 2303.06999) has one list of all kinds,
by the losses of a two-stage network.

Letters: G labels and N detections of one image, K classes.
"""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..box_geometry import pairwise_iou
from .label_support import Standard, detection_features, label_features, measure_standard
from .logistic_regression import LogisticModel, fit_logistic
from .matching import UNMATCHED, EvaluatedImage, match_image
from .simulated_errors import simulated_errors

MISSING, WRONG_CLASS, LOOSE, SPURIOUS, DUPLICATE = KINDS = (
    "missing", "wrong class", "loose", "spurious", "duplicate",
)  # fmt: skip
ERROR_SHARE = 0.02
"""Of the labels that are wrong in one of the ways, before anything is known about them. It moves all scores alike."""
LIKELY_WRONG = 0.5
"""Score from which on a label is counted as probably wrong."""
MOST_LISTED = 10_000
_ENOUGH_LABELS = 50
"""Of a set that is judged by itself; a smaller one is judged by the standard of all sets together."""
_LABEL_ERRORS = 3
"""Ways in which a label that is there can be wrong."""
_APART_IOU = 0.3
"""A detection that overlaps no label by as much has none."""
_WRONG_CLASS_IOU = 0.5
_DUPLICATE_IOU = 0.8

Box = Tuple[float, float, float, float]


class Suspicion(NamedTuple):
    """A label that is probably wrong, or one that is probably missing."""

    score: float
    """Probability that it is wrong, in (0, 1)."""
    kind: str
    set_name: str
    image: int
    """Position in its set."""
    box_xyxy: Box | None
    """The label, in pixels of the upright image; None: there is none."""
    class_id: int | None
    suggested_box_xyxy: Box | None
    """What the model found there, or the label that covers this one; None: nothing."""
    suggested_class_id: int | None


def review_labels(sets: Mapping[str, Sequence[EvaluatedImage]], num_classes: int) -> list[Suspicion]:
    """Return the suspicious labels of all sets, best score first, at most MOST_LISTED.

    Listed is what looks more like a wrong label than like a right one.

    Args:
        sets: by name, e.g. training and validation: detections of any score, finite, with labels. A model has seen the
            labels of one and not those of the other: each is judged by itself where it has enough labels.
    """
    everything = [image for images in sets.values() for image in images]
    found: list[Suspicion] = []
    for name, images in sets.items():
        num_labels = sum(len(image.gt_classes) for image in images)
        judge = _fit(images if num_labels >= _ENOUGH_LABELS else everything, num_classes)
        for index, image in enumerate(images):
            found += _review_image(judge, name, index, image)
    return sorted(found, key=lambda one: -one.score)[:MOST_LISTED]  # stable: of equals in the order of the sets


class _Judge(NamedTuple):
    standard: Standard
    of_labels: LogisticModel
    of_detections: LogisticModel
    missing_prior: float
    """Odds of a detection without a label to be a missing one, before its features are known."""


def _fit(images: Sequence[EvaluatedImage], num_classes: int) -> _Judge:
    """Learn what tells right from wrong in some images."""
    standard = measure_standard(images, num_classes)
    right = [label_features(image.gt_boxes, image.gt_classes, image, standard) for image in images]
    wrong = [
        label_features(boxes, classes, image, standard)
        for image, (boxes, classes) in simulated_errors(images, num_classes)
    ]
    apart, matched = [], []
    for image in images:
        # a label that is removed leaves a detection that matches it and overlaps no other
        overlaps, is_matched = _label_overlaps(image)
        features = detection_features(image, overlaps, standard)
        apart.append(features[~is_matched & (overlaps < _APART_IOU)])
        matched.append(features[is_matched & (overlaps < _APART_IOU)])
    num_apart, num_matched = (sum(map(len, rows)) for rows in (apart, matched))
    return _Judge(
        standard,
        fit_logistic(np.concatenate([np.zeros((0, 5)), *right]), np.concatenate([np.zeros((0, 5)), *wrong])),
        fit_logistic(np.concatenate([np.zeros((0, 3)), *apart]), np.concatenate([np.zeros((0, 3)), *matched])),
        ERROR_SHARE * num_matched / max(1, num_apart),
    )


def _label_overlaps(image: EvaluatedImage) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) the largest IoU with a label, without the one that it matches, and whether it matches one."""
    iou = pairwise_iou(image.pred_boxes, image.gt_boxes)  # (N, G)
    gt_index = match_image(image)
    matched = np.flatnonzero(gt_index != UNMATCHED)
    iou[matched, gt_index[matched]] = 0.0
    return iou.max(axis=1, initial=0.0), gt_index != UNMATCHED


def _review_image(judge: _Judge, set_name: str, index: int, image: EvaluatedImage) -> Iterator[Suspicion]:
    yield from _suspicious_labels(judge, set_name, index, image)
    yield from _missing_labels(judge, set_name, index, image)


def _suspicious_labels(judge: _Judge, set_name: str, index: int, image: EvaluatedImage) -> Iterator[Suspicion]:
    features = label_features(image.gt_boxes, image.gt_classes, image, judge.standard)
    odds = judge.of_labels.odds(features)
    scores = _probability(odds * ERROR_SHARE * _LABEL_ERRORS)
    covers = _covering_labels(image, features[:, 0])
    for label, (box, class_id) in enumerate(zip(image.gt_boxes, image.gt_classes.tolist())):
        if covers[label] != UNMATCHED:
            other = covers[label]
            iou = float(pairwise_iou(box[None], image.gt_boxes[other][None])[0, 0])
            yield Suspicion(iou, DUPLICATE, set_name, index, as_box(box), class_id,
                            as_box(image.gt_boxes[other]), class_id)  # fmt: skip
        elif odds[label] > 1:
            kind, detection = _explain(image, label, judge.standard)
            suggested: tuple[Box | None, int | None] = (None, None)
            if detection != UNMATCHED:
                suggested = as_box(image.pred_boxes[detection]), int(image.pred_classes[detection])
            yield Suspicion(float(scores[label]), kind, set_name, index, as_box(box), class_id, *suggested)


def _covering_labels(image: EvaluatedImage, supports: np.ndarray) -> np.ndarray:
    """(G,) the better supported label of the same class that covers a label; UNMATCHED if there is none."""
    iou = pairwise_iou(image.gt_boxes, image.gt_boxes)
    order = np.argsort(np.argsort(-supports, kind="stable"), kind="stable")  # rank of each label
    is_cover = (iou >= _DUPLICATE_IOU) & (image.gt_classes[:, None] == image.gt_classes) & (order < order[:, None])
    best = np.where(is_cover, iou, 0.0)
    return np.where(is_cover.any(axis=1), best.argmax(axis=1), UNMATCHED) if len(iou) else np.zeros(0, dtype=np.int64)


def _explain(image: EvaluatedImage, label: int, standard: Standard) -> tuple[str, int]:
    """Return the kind of a suspicious label and the detection that contradicts it, or UNMATCHED."""
    iou = pairwise_iou(image.gt_boxes[label][None], image.pred_boxes)[0]  # (N,)
    times = image.pred_scores / standard.scores[image.pred_classes]
    is_own = image.pred_classes == image.gt_classes[label]
    own = _best(times * iou * (is_own & (iou >= _APART_IOU)))
    rival = _best(times * iou * (~is_own & (iou >= _WRONG_CLASS_IOU)))
    value = [0.0 if row == UNMATCHED else float(times[row] * iou[row]) for row in (own, rival)]
    if value[1] > value[0]:
        return WRONG_CLASS, rival
    # half of what is usual: the model is sure of an object there, and only its box is another
    return (LOOSE, own) if own != UNMATCHED and times[own] >= 0.5 else (SPURIOUS, UNMATCHED)


def _best(values: np.ndarray) -> int:
    return int(values.argmax()) if len(values) and values.max() > 0 else UNMATCHED


def _missing_labels(judge: _Judge, set_name: str, index: int, image: EvaluatedImage) -> Iterator[Suspicion]:
    overlaps, is_matched = _label_overlaps(image)
    odds = judge.of_detections.odds(detection_features(image, overlaps, judge.standard))
    candidates = np.flatnonzero(~is_matched & (overlaps < _APART_IOU) & (odds > 1))
    candidates = candidates[np.argsort(-odds[candidates], kind="stable")]
    scores = _probability(odds * judge.missing_prior)
    iou = pairwise_iou(image.pred_boxes[candidates], image.pred_boxes[candidates])
    for rank, row in enumerate(candidates.tolist()):
        if iou[rank, :rank].max(initial=0.0) < _WRONG_CLASS_IOU:  # of several classes at one place, the likeliest
            yield Suspicion(float(scores[row]), MISSING, set_name, index, None, None,
                            as_box(image.pred_boxes[row]), int(image.pred_classes[row]))  # fmt: skip


def _probability(odds: np.ndarray) -> np.ndarray:
    probability: np.ndarray = odds / (1 + odds)
    return probability


def as_box(box_xyxy: np.ndarray) -> Box:
    """Return (4,) as a tuple."""
    x1, y1, x2, y2 = map(float, box_xyxy)
    return x1, y1, x2, y2
