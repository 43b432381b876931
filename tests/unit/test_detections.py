"""Detections as arrays: selected, joined, empty."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.detections import Detections


def some(count: int, *, with_probs: bool) -> Detections:
    numbers = np.arange(count)
    boxes = np.stack([numbers, numbers, numbers + 1, numbers + 1], axis=1).astype(np.float32)
    probs = np.eye(count, 3, dtype=np.float32) if with_probs else None
    return Detections(boxes, np.linspace(1, 0.5, count, dtype=np.float32), numbers, probs)


def test_no_detections_have_the_types_of_any():
    empty, plain = Detections.empty(), some(2, with_probs=False)
    assert len(empty) == 0
    assert empty.boxes_xyxy.shape == (0, 4)
    for name in ("boxes_xyxy", "scores", "classes"):
        assert getattr(empty, name).dtype == getattr(plain, name).dtype
    assert empty.class_probs is None


@pytest.mark.parametrize("with_probs", [False, True])
@pytest.mark.parametrize(
    ("index", "classes"),
    [
        (np.zeros(0, np.int64), []),
        (np.array([2, 0]), [2, 0]),
        (np.array([1, 1]), [1, 1]),
        (np.array([False, True, True]), [1, 2]),
    ],
    ids=["none", "other order", "twice", "mask"],
)
def test_a_selection_is_one_of_every_field(with_probs: bool, index: np.ndarray, classes: list[int]):
    every = some(3, with_probs=with_probs)
    taken = every.take(index)
    assert taken.classes.tolist() == classes
    assert taken.boxes_xyxy[:, 0].tolist() == classes
    assert taken.scores.tolist() == [float(every.scores[number]) for number in classes]
    assert (taken.class_probs is None) is not with_probs
    assert not with_probs or taken.class_probs.argmax(axis=1).tolist() == classes


def test_a_selection_with_another_field():
    taken = some(3, with_probs=True).take(np.array([2, 1]), scores=np.array([0.1, 0.2], np.float32))
    assert taken.scores.tolist() == pytest.approx([0.1, 0.2])
    assert taken.classes.tolist() == [2, 1]


@pytest.mark.parametrize("with_probs", [False, True])
def test_detections_are_joined_in_their_order(with_probs: bool):
    joined = Detections.concatenate([some(2, with_probs=with_probs), some(3, with_probs=with_probs)])
    assert joined.classes.tolist() == [0, 1, 0, 1, 2]
    assert len(joined) == len(joined.boxes_xyxy) == 5
    assert (joined.class_probs is None) is not with_probs
