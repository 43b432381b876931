"""CALD as the YMIR executors det-yolov5-tmi and det-mmdetection-tmi compute it, for comparison with their results.

It mines what is found again *best* first, and a score grows with the number of boxes: docs/mining.md lists how it
differs from `cald.py`. Letters: n reference boxes, m boxes found in the view.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .augmentations import (
    RESIZE_FACTOR,
    ROTATION_DEGREES,
    Augmentation,
    find_holes,
    flip,
    rotate_boxes,
    rotation_matrix,
    smaller_hw,
)
from .pixel_views import pixel_views
from .scores import BETA, as_boxes, jensen_shannon, pairwise_iou
from .view_comparison import Detect, ViewComparison

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels, ReadDense

NOTHING_FOUND = -BETA
"""The score of a picture without detections, the lowest there is: such pictures are mined last."""


class CaldLegacy:
    """See `Algorithm`. Scores are -1.3 or not negative, without upper limit; they depend on the order of the boxes."""

    read: ReadDense | None = None

    def __init__(self, detect: Detect, *, seed: int = 0) -> None:
        """
        Args:
            detect: finds boxes in pictures as they are; called once per augmentation and chunk.
            seed: changes where holes are cut, nothing else.
        """
        self._comparison = ViewComparison(
            detect, augmentations=LEGACY_AUGMENTATIONS, select=_truncated, compare=sum_of_running_minima, seed=seed
        )

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """The sums (4,) of each part, one per view; None where nothing is found."""
        return list(self._comparison.values(names, parts, found))

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """Mean over the views of the sum over the parts, or NOTHING_FOUND."""
        compared = [value for value in values if value is not None]
        return float(np.mean(np.sum(compared, axis=0))) if compared else NOTHING_FOUND


def sum_of_running_minima(reference: Detections, augmented: Detections, *, with_divergence: bool = True) -> float:
    """The peers' number for one view.

    Args:
        reference: n >= 1 boxes of the plain picture, carried into the frame of the view; their order counts.
        augmented: what was found in the view, m boxes; corners are cut to whole pixels.
        with_divergence: False as the predecessor of this executor, whose divergence was always 0 by mistake.

    Returns:
        The sum over k of min_{i <= k} |IoU_i + C_i - BETA|, C_i the mean confidence of box and match, times 1 minus
        the divergence of two Bernoulli variables of those confidences. BETA if m = 0. Classes count nowhere.

    Source: `consistency_per_aug` in mining_cald.py of those executors. They sum within the loop over boxes.
    """
    if len(augmented) == 0:
        return BETA
    overlaps = pairwise_iou(_truncated(augmented).boxes_xyxy, reference.boxes_xyxy)  # (m, n)
    matches = np.argmax(overlaps, axis=0)  # (n,), the first of equal ones
    confidence = np.asarray(reference.scores, dtype=np.float64)
    found_confidence = np.asarray(augmented.scores, dtype=np.float64)[matches]
    agreement = (confidence + found_confidence) / 2.0
    if with_divergence:
        agreement *= 1.0 - jensen_shannon(_bernoulli(confidence), _bernoulli(found_confidence))
    differences = np.abs(np.max(overlaps, axis=0) + agreement - BETA)
    return float(np.sum(np.minimum.accumulate(differences)))


def legacy_cutout(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Holes as in `augmentations.cutout`, judged before they are rounded to whole pixels."""
    boxes = as_boxes(boxes_xyxy)
    holes = find_holes(image.shape[0], image.shape[1], boxes, rng, whole_pixels=False)
    return pixel_views(image).with_holes(image, holes), boxes


def legacy_rotate(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Rotated in the same canvas; boxes are cut to whole pixels and may leave the picture."""
    matrix = rotation_matrix(image.shape[0], image.shape[1], ROTATION_DEGREES)
    return pixel_views(image).rotated(image, matrix), np.trunc(rotate_boxes(boxes_xyxy, matrix))


def legacy_resize(image: Pixels, boxes_xyxy: np.ndarray, rng: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Smaller, in the upper left corner of a black picture of the old size; boxes times RESIZE_FACTOR."""
    views = pixel_views(image)
    hw = int(image.shape[0]), int(image.shape[1])
    view = views.on_canvas(views.resized(image, smaller_hw(*hw)), hw)
    return view, as_boxes(boxes_xyxy) * RESIZE_FACTOR


def _truncated(detections: Detections) -> Detections:
    """Corners cut to whole pixels towards 0, as NumPy's int32 does it."""
    return replace(detections, boxes_xyxy=np.trunc(as_boxes(detections.boxes_xyxy)))


def _bernoulli(confidence: np.ndarray) -> np.ndarray:
    """(n, 2): wrong, right."""
    pair: np.ndarray = np.stack([1.0 - confidence, confidence], axis=1)
    return pair


LEGACY_AUGMENTATIONS = (
    Augmentation("flip", flip),
    Augmentation("cutout", legacy_cutout),
    Augmentation("rotate", legacy_rotate),
    Augmentation("resize", legacy_resize),
)
"""In the peers' order."""
