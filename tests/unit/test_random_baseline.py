"""The random baseline: uniform, the same for the same name and seed."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.random_baseline import RandomBaseline

PINNED = 0.17619180501331777


def score(name: str, seed: int = 0) -> float:
    return RandomBaseline(seed=seed).score_image(name, Detections.empty(), ())


def test_scores_are_uniform():
    scores = [score(f"in/{index}.jpg") for index in range(4000)]
    assert np.histogram(scores, bins=10, range=(0, 1))[0] == pytest.approx([400] * 10, abs=100)  # 5 standard deviations


def test_score_depends_on_base_name_and_seed():
    assert score("a.jpg") == score("elsewhere/a.jpg") == PINNED
    assert score("a.jpg", seed=1) != PINNED
    assert score("b.jpg") != PINNED
