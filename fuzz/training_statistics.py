"""What a model's package tells of its training, and rows of mining on a disk: refused, or numbers that can be used."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path

import numpy as np

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.evaluation.training_statistics import (
    MOST_FEATURES,
    read_training_statistics,
    summarise_training,
)
from ymir_detectron2.mining.evidence import is_evidence, peaks_of_row, peaks_to_row
from ymir_detectron2.mining.peaks import MAX_DIM, MOST_PEAKS, ImagePeaks

from .mutation import damaged
from .plain_data import changed

EXPECTED = (ExecutorError,)
"""What the readers may raise."""


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write the statistics, and a row; about half of either has another structure."""
    for name, content in (("training-statistics.json", _statistics()), ("row.json", _row())):
        oddity = rng.choice((0, 0, 1, 3))
        text = json.dumps(changed(json.loads(content), rng, oddity))
        (folder / name).write_bytes(damaged(text.encode("utf-8", "surrogatepass"), rng, 0.2))
    return folder


def read(path: Path) -> None:
    """Read the row as a task does that goes on, then the statistics as mining does."""
    try:
        row = json.loads((path / "row.json").read_bytes())
    except (ValueError, RecursionError):
        row = None
    if type(row) is dict and is_evidence(row):
        peaks = peaks_of_row(row)
        assert ((peaks.probs >= 0) & (peaks.probs <= 1)).all()
        assert len(peaks.probs) == len(peaks.class_ids) == len(peaks.features) <= MOST_PEAKS
        assert peaks.features.shape[1] <= MAX_DIM
    statistics = read_training_statistics(path / "training-statistics.json")
    features = statistics.feature_matrix("x")
    assert features.size <= MOST_FEATURES * MAX_DIM
    assert 1 <= features.shape[1] <= MAX_DIM
    assert all(one.images >= 0 and (one.ap50 is None or 0 <= one.ap50 <= 1) for one in statistics.classes)


@functools.lru_cache(maxsize=1)
def _statistics() -> bytes:
    return summarise_training(
        ["cat", "<b>", "dog"], boxes_per_class=[3, 0, 2], images_per_class=[2, 0, 1],
        ap50_per_class=[0.5, float("nan"), 1.0], images=5, images_without_objects=2,
        features=np.eye(5, 4, dtype=np.int8), feature_name="x",
    ).as_bytes()  # fmt: skip


@functools.lru_cache(maxsize=1)
def _row() -> str:
    peaks = ImagePeaks(np.array([0.5, 0.25], np.float16), np.array([2, 0], np.uint16), np.eye(2, 4, dtype=np.int8))
    return json.dumps({"score": 0.5, **peaks_to_row(peaks)})
