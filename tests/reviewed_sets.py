"""Sets with labels and detections drawn by a seed, for tests of the label review: what a fair detector would find."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ymir_detectron2.evaluation.matching import EvaluatedImage

IMAGE_HW = (200, 260)
SIDE = 40  # objects stand in a grid of such cells, so that none touches another
_PER_ROW = IMAGE_HW[1] // SIDE


def reviewed_images(
    count: int, *, objects: int = 6, num_classes: int = 3, seed: int = 0, missed: float = 0.05, false: float = 0.05,
    never_found: Sequence[int] = (),
) -> list[EvaluatedImage]:  # fmt: skip
    """Images whose labels are right, with detections by a model that errs as most do.

    Args:
        objects: in each image but every fourth, which has none.
        missed: share of the objects that the model gives a low score.
        false: detections of nothing, as a share of the objects; their scores are mostly low.
        never_found: classes whose objects the model does not know.
    """
    random = np.random.default_rng(seed)
    images = []
    for number in range(count):
        in_image = 0 if number % 4 == 3 else objects
        cells = random.permutation(_PER_ROW * (IMAGE_HW[0] // SIDE))[: in_image + 2]
        boxes = _boxes(random, cells)
        classes = random.integers(0, num_classes, in_image)
        is_missed = (random.random(in_image) < missed) | np.isin(classes, never_found)
        scores = np.where(is_missed, random.uniform(0.0, 0.15, in_image), random.beta(12, 4, in_image))
        near = boxes[:in_image] + random.normal(0, 1.2, (in_image, 4))
        is_false = random.random(2) < false * objects / 2
        pred_boxes = np.concatenate([near, boxes[in_image:][is_false]])
        pred_scores = np.concatenate([scores, random.beta(2, 6, 2)[is_false]])
        pred_classes = np.concatenate([classes, random.integers(0, num_classes, 2)[is_false]])
        kept = pred_scores > 0.05
        images.append(
            EvaluatedImage(
                f"{number}.jpg", boxes[:in_image], classes, pred_boxes[kept], pred_scores[kept], pred_classes[kept],
                IMAGE_HW,
            )
        )  # fmt: skip
    return images


def with_labels(image: EvaluatedImage, boxes: np.ndarray, classes: Sequence[int]) -> EvaluatedImage:
    """The image with other labels."""
    return image._replace(
        gt_boxes=np.asarray(boxes, dtype=np.float64).reshape(-1, 4), gt_classes=np.asarray(classes, dtype=np.int64)
    )


def _boxes(random: np.random.Generator, cells: np.ndarray) -> np.ndarray:
    corners = np.stack([cells % _PER_ROW, cells // _PER_ROW], axis=1) * SIDE + random.uniform(1, 6, (len(cells), 2))
    return np.concatenate([corners, corners + random.uniform(18, 30, (len(cells), 2))], axis=1)
