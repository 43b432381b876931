"""Images with ground truth and detections, written down in one line; and the pixels of plots of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ymir_detectron2.evaluation.matching import EvaluatedImage

BOX = (0, 0, 10, 10)
HALF = (0, 0, 10, 5)  # IoU 0.5 with BOX
FAR = (50, 50, 60, 60)


def evaluated_image(gt: list[tuple], pred: list[tuple]) -> EvaluatedImage:
    """Ground truth as (class, box), detections as (class, score, box)."""
    return EvaluatedImage(
        "a.jpg",
        np.array([box for _, box in gt], dtype=np.float64).reshape(-1, 4),
        np.array([class_id for class_id, _ in gt], dtype=np.int64),
        np.array([box for _, _, box in pred], dtype=np.float64).reshape(-1, 4),
        np.array([score for _, score, _ in pred], dtype=np.float64),
        np.array([class_id for class_id, _, _ in pred], dtype=np.int64),
    )


def pixels_of(png: bytes) -> np.ndarray:
    """Decode a plot to (H, 800, 3) RGB; something must be drawn."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert pixels.shape[1] == 800
    assert (pixels != 255).any(axis=2).mean() > 0.002
    return pixels


def has_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels.astype(int) - colour).max(axis=2) < 12).any())
