"""Detections to whole pixels, as the platform stores boxes."""

from __future__ import annotations

from typing import Iterator, Sequence

import numpy as np

from ..contract.infer_result import ResultBox
from ..engines.base import Detections


def pixel_boxes(
    detections: Detections, image_hw: Sequence[int], class_names: Sequence[str]
) -> Iterator[ResultBox]:
    """Round corners to whole pixels; every box stays inside the picture and at least one pixel wide and high.

    Args:
        image_hw: height and width of the original picture.
    """
    height, width = image_hw
    corners = np.rint(detections.boxes_xyxy).astype(np.int64)
    first = np.clip(corners[:, :2], 0, (width - 1, height - 1))
    last = np.clip(corners[:, 2:], first + 1, (width, height))
    for (x, y), (w, h), class_id, score in zip(
        first.tolist(), (last - first).tolist(), detections.classes.tolist(), detections.scores.tolist()
    ):
        yield ResultBox(x, y, w, h, class_names[class_id], score)
