"""Pictures with objects and found boxes, written down in one line."""

from __future__ import annotations

import numpy as np

from ymir_detectron2.evaluation.matching import JudgedPicture

BOX = (0, 0, 10, 10)
HALF = (0, 0, 10, 5)  # IoU 0.5 with BOX
FAR = (50, 50, 60, 60)


def judged_picture(truth: list[tuple], found: list[tuple]) -> JudgedPicture:
    """Truth as (class, box), found as (class, score, box)."""
    return JudgedPicture(
        "a.jpg",
        np.array([box for _, box in truth], dtype=np.float64).reshape(-1, 4),
        np.array([class_id for class_id, _ in truth], dtype=np.int64),
        np.array([box for _, _, box in found], dtype=np.float64).reshape(-1, 4),
        np.array([score for _, score, _ in found], dtype=np.float64),
        np.array([class_id for class_id, _, _ in found], dtype=np.int64),
    )
