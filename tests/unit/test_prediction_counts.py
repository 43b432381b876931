"""Counts for every threshold in one pass, against counting again for each, and a sample of any length of result."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.contract.infer_result import ResultBox
from ymir_detectron2.results.prediction_counts import (
    MOST_CLASSES,
    OTHER_CLASSES,
    THRESHOLDS,
    CountedImage,
    ImageSample,
    PredictionCounts,
)


def box(name: str, score: float) -> ResultBox:
    return ResultBox(1, 2, 3, 4, name, score)


def random_images(count: int) -> list[list[ResultBox]]:
    """Many scores are exactly one of the thresholds."""
    rng = np.random.default_rng(0)

    def random_box() -> ResultBox:
        return box("abc"[rng.integers(3)], round(float(rng.random()), int(rng.integers(1, 7))))

    return [[random_box() for _ in range(rng.integers(5))] for _ in range(count)]


def test_counts_at_each_threshold_are_those_of_the_boxes_above_it():
    images, counts = random_images(300), PredictionCounts()
    for boxes in images:
        counts.add(boxes)
    assert counts.images == 300
    assert counts.boxes == sum(map(len, images))
    for index, threshold in enumerate(THRESHOLDS):
        kept = [[one for one in boxes if one.score > threshold] for boxes in images]
        for class_id, name in enumerate(counts.class_names):
            of_class = [[one for one in boxes if one.class_name == name] for boxes in kept]
            assert counts.boxes_at()[class_id, index] == sum(map(len, of_class))
            assert counts.images_at()[class_id, index] == sum(map(bool, of_class))
        assert counts.images_with_boxes_at()[index] == sum(map(bool, kept))


@pytest.mark.parametrize(("score", "last"), [(0.0, -1), (1e-6, 0), (0.5, 49), (0.500001, 50), (0.29, 28), (1.0, 99)])
def test_a_score_is_above_the_thresholds_below_it_only(score: float, last: int):
    counts = PredictionCounts()
    counts.add([box("a", score)])
    assert counts.boxes_at()[0].tolist() == [1] * (last + 1) + [0] * (100 - last)


def test_nothing_at_all():
    counts = PredictionCounts()
    assert counts.boxes_at().shape == counts.images_at().shape == (0, 101)
    assert counts.images_with_boxes_at().tolist() == [0] * 101


def test_a_file_with_a_name_for_each_box_fills_no_memory():
    counts = PredictionCounts()
    counts.add([box(str(number), 0.5) for number in range(3000)])
    assert len(counts.class_names) == MOST_CLASSES + 1
    assert counts.class_names[-1] == OTHER_CLASSES
    assert counts.boxes_at()[-1, 0] == 3000 - MOST_CLASSES


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 60, 61, 1000, 50_000])
def test_a_sample_is_spread_evenly_and_has_the_images_with_most_boxes(count: int):
    evenly, most = 30, 5
    sample = ImageSample(evenly, most)
    crowded = set(range(7, count, max(1, count // 3)))
    for number in range(count):
        sample.add(CountedImage(number, f"{number}.jpg", [box("a", 0.5)] * (9 if number in crowded else number % 3)))
    numbers = [image.number for image in sample.images()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) <= evenly + most
    assert set(sorted(crowded)[:most]) <= set(numbers)
    if count <= evenly:
        assert numbers == list(range(count))
    else:
        assert numbers[0] == 0
        assert max(np.diff([*numbers, count])) <= 3 * count / evenly, "no stretch of the result is left out"
