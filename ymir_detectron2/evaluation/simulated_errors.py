"""Wrong labels made of right ones, from which a review learns how wrong labels look in this very set.

As in "Learning to Detect Label Errors by Making Them" (arXiv 2508.17930), in three kinds: a label at a place of another
image, a label that is shifted and resized (IoU 0.4 to 0.5), a label of another class. Nothing is drawn at random: the
same set gives the same errors.

Letters: G labels of one image, M simulated ones of a set, K classes.
"""

from __future__ import annotations

from typing import Iterator, Sequence, Tuple

import numpy as np

from ..box_geometry import pairwise_iou
from .matching import EvaluatedImage

_SHIFTS = ((0.3, 0.2, 1.0, 1.0), (-0.3, 0.2, 1.0, 1.0), (0.1, -0.1, 0.7, 0.7), (-0.1, 0.1, 1.4, 1.4),
           (0.2, -0.3, 1.2, 0.8), (-0.2, -0.2, 0.75, 1.25))  # fmt: skip
"""Of the centre, in sides of the box, and factors of its width and height."""
_SAME_OBJECT_IOU = 0.5

Labels = Tuple[np.ndarray, np.ndarray]
"""(G, 4) boxes and (G,) classes."""


def simulated_errors(images: Sequence[EvaluatedImage], num_classes: int) -> Iterator[tuple[EvaluatedImage, Labels]]:
    """Yield an image with wrong labels for it; about as many of each kind as there are labels in the set."""
    labelled = [image for image in images if len(image.gt_classes)]
    for number, image in enumerate(images):
        if labelled:
            yield image, _from_another_image(image, labelled[(number + 1) % len(labelled)])
    first = 0
    for image in labelled:
        positions = np.arange(first, first + len(image.gt_classes))
        first += len(image.gt_classes)
        yield image, (_shifted(image.gt_boxes, positions), image.gt_classes)
        if num_classes > 1:
            steps = 1 + positions % (num_classes - 1)
            yield image, (image.gt_boxes, (image.gt_classes + steps) % num_classes)


def _from_another_image(image: EvaluatedImage, other: EvaluatedImage) -> Labels:
    """Return the labels of another image at the same place of this one, but for those that are right here too."""
    factors = [mine / its if mine and its else 1.0 for mine, its in zip(image.image_hw, other.image_hw)]
    boxes = other.gt_boxes * np.tile(factors[::-1], 2)
    is_same = pairwise_iou(boxes, image.gt_boxes) >= _SAME_OBJECT_IOU
    is_same &= other.gt_classes[:, None] == image.gt_classes
    kept = ~is_same.any(axis=1)
    return boxes[kept], other.gt_classes[kept]


def _shifted(boxes_xyxy: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Shift and resize boxes, each in one of the ways of _SHIFTS."""
    shifts = np.array(_SHIFTS)[positions % len(_SHIFTS)]  # (G, 4)
    sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    centres = boxes_xyxy[:, :2] + sizes * (0.5 + shifts[:, :2])
    halves = 0.5 * sizes * shifts[:, 2:]
    return np.concatenate([centres - halves, centres + halves], axis=1)
