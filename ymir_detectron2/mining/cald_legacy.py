"""CALD as the YMIR executors det-yolov5-tmi and det-mmdetection-tmi compute it, for comparison with their results.

It mines the images whose boxes are detected again *best* first, and a score grows with the number of boxes:
docs/mining.md lists how it differs from `cald.py`. Letters: n reference boxes, m boxes of the augmented image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

import numpy as np

from ..box_geometry import as_boxes, pairwise_iou
from ..detections import Detections, Pixels
from .augmentations import (
    RESIZE_FACTOR,
    ROTATION_DEGREES,
    Augmentation,
    find_holes,
    flip,
    image_ops_for,
    rotate_boxes,
    rotation_matrix,
    smaller_hw,
)
from .cald import Cald, TileEvidence
from .scores import BETA, UNION_EPS, BoxMatches, jensen_shannon


def sum_of_running_minima(references: Detections, augmented: Detections, *, with_divergence: bool = True) -> float:
    """Return the peers' number for one augmentation.

    Args:
        references: n >= 1 boxes of the plain image, carried into the frame of the augmented one; their order counts.
        augmented: m boxes detected in the augmented image; corners are truncated to whole pixels.
        with_divergence: False as the predecessor of this executor, whose divergence was always 0 by mistake.

    Returns:
        The sum over k of min_{i <= k} |IoU_i + C_i - BETA|, C_i the mean confidence of box and match, times 1 minus
        the divergence of two Bernoulli variables of those confidences. BETA if m = 0. Classes do not count.

    Source: `consistency_per_aug` in mining_cald.py of those executors. They sum within the loop over boxes.
    """
    if len(augmented) == 0:
        return BETA
    differences = legacy_matches(references, augmented, with_divergence=with_divergence).differences
    return float(np.sum(np.minimum.accumulate(differences)))


def legacy_matches(references: Detections, augmented: Detections, *, with_divergence: bool = True) -> BoxMatches:
    """Return the comparison of each reference box that `sum_of_running_minima` adds up; m >= 1."""
    overlaps = pairwise_iou(_truncate(augmented).boxes_xyxy, references.boxes_xyxy, union_eps=UNION_EPS)  # (m, n)
    matches = np.argmax(overlaps, axis=0)  # (n,), the first of equal ones
    confidence = np.asarray(references.scores, dtype=np.float64)
    augmented_confidence = np.asarray(augmented.scores, dtype=np.float64)[matches]
    agreement = (confidence + augmented_confidence) / 2.0
    if with_divergence:
        agreement *= 1.0 - jensen_shannon(_bernoulli(confidence), _bernoulli(augmented_confidence))
    ious = np.max(overlaps, axis=0)
    return BoxMatches(augmented, matches, ious, np.abs(ious + agreement - BETA))


def legacy_cutout(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Cut holes as `augmentations.cutout`, but judge them before they are rounded to whole pixels."""
    boxes = as_boxes(boxes_xyxy)
    holes = find_holes(image.shape[0], image.shape[1], boxes, rng, whole_pixels=False)
    return image_ops_for(image).cut_holes(image, holes), boxes


def legacy_rotate(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Rotate within the same canvas; boxes are truncated to whole pixels and may leave the image."""
    matrix = rotation_matrix(image.shape[0], image.shape[1], ROTATION_DEGREES)
    # the peers store rotated boxes in an int32 array
    return image_ops_for(image).warp_affine(image, matrix), np.trunc(rotate_boxes(boxes_xyxy, matrix))


def legacy_resize(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Shrink into the upper left corner of a black image of the old size; boxes times RESIZE_FACTOR."""
    ops = image_ops_for(image)
    hw = int(image.shape[0]), int(image.shape[1])
    augmented = ops.pad_to(ops.resize(image, smaller_hw(*hw)), hw)
    # times the nominal factor, not the one that whole pixels leave: as the peers
    return augmented, as_boxes(boxes_xyxy) * RESIZE_FACTOR


def _truncate(detections: Detections) -> Detections:
    """Truncate corners to whole pixels towards 0, as NumPy's int32 does it."""
    return replace(detections, boxes_xyxy=np.trunc(as_boxes(detections.boxes_xyxy)))


def _bernoulli(confidence: np.ndarray) -> np.ndarray:
    """(n,) -> (n, 2): probability of "no object" and "object"."""
    pair: np.ndarray = np.stack([1.0 - confidence, confidence], axis=1)
    return pair


LEGACY_AUGMENTATIONS = (
    Augmentation("flip", flip, mirrors=True),
    Augmentation("cutout", legacy_cutout),
    Augmentation("rotate", legacy_rotate),
    Augmentation("resize", legacy_resize),
)
"""In the peers' order."""


class CaldLegacy(Cald):
    """See `Cald`. Scores are -1.3 or not negative, without upper limit; they depend on the order of the boxes."""

    augmentations = LEGACY_AUGMENTATIONS
    score_without_detections = -BETA
    """The lowest score there is: an image without detections is mined last, as by the peers."""

    def select_references(self, detections: Detections) -> Detections:
        # neither copies nor order are touched: that both count is part of the formula to compare with
        return _truncate(detections)

    def compare(self, references: Detections, augmented: Detections) -> float:
        return sum_of_running_minima(references, augmented)

    def match(self, references: Detections, augmented: Detections) -> BoxMatches:
        return legacy_matches(references, augmented)

    def deciding_tile(self, tiles: Sequence[tuple[int, TileEvidence]], position: int) -> tuple[int, TileEvidence]:
        # tiles add up: the one that adds most
        return max(tiles, key=lambda tile: float(tile[1].consistencies[position]))

    def reduce(self, tile_scores: np.ndarray) -> float:
        # (t, 4) -> (4,): tiles add up as boxes do
        return float(np.mean(np.sum(tile_scores, axis=0)))
