"""What is kept of an image for the order of all: from a network with score maps and without, on disk, damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.rectangle_detector import CLASS_NAMES, RED, draw, find_rectangles
from ymir_detectron2.array_text import array_to_text
from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.evidence import Submodular, binary_entropy, is_evidence, peaks_of_row, peaks_to_row
from ymir_detectron2.mining.peaks import LEAST_PROB, MAX_DIM, MOST_PEAKS, ImagePeaks


def some_peaks(*probs: float, dim: int = 2) -> ImagePeaks:
    count = len(probs)
    features = np.arange(count * dim).reshape(count, dim).astype(np.int8)
    return ImagePeaks(np.array(probs, np.float16), np.arange(count).astype(np.uint16), features)


@pytest.mark.parametrize("peaks", [some_peaks(0.5, 0.25), some_peaks(0.5, dim=0), ImagePeaks.none()])
def test_peaks_come_back_from_their_row(peaks: ImagePeaks):
    row = json.loads(json.dumps({"score": 0.5, **peaks_to_row(peaks)}))
    assert is_evidence(row)
    for found, expected in zip(peaks_of_row(row), peaks):
        np.testing.assert_array_equal(found, expected)


def test_the_row_of_an_image_has_the_strongest_peaks_of_its_tiles():
    row = Submodular().describe_image("a", Detections.empty(), [some_peaks(0.1), some_peaks(0.7, 0.2)])
    assert row["score"] == float(np.float16(0.7))
    assert peaks_of_row(row).probs.tolist() == np.array([0.7, 0.2, 0.1], np.float16).tolist()
    assert Submodular().score_image("a", Detections.empty(), [ImagePeaks.none()]) == 0.0


def test_bytes_of_a_row():
    """docs/mining.md states 830 bytes at most."""
    row = {"score": 0.12347412109375, **peaks_to_row(some_peaks(*[0.9] * MOST_PEAKS, dim=MAX_DIM)), "is_empty": True}
    assert 750 < len(json.dumps([row])) <= 830


@pytest.mark.parametrize(
    "change",
    [
        {"probs": None}, {"probs": "x"}, {"probs": 1.0}, {"probs": ""}, {"classes": ""}, {"features": None},
        {"probs": array_to_text(np.array([1.5, 0.1], np.float16))},
        {"probs": array_to_text(np.array([0.5, -0.1], np.float16))},
        {"probs": array_to_text(np.array([0.5, np.nan], np.float16))},
        {"features": array_to_text(np.zeros(3, np.int8))}, {"features": array_to_text(np.zeros(130, np.int8))},
        peaks_to_row(some_peaks(*[0.5] * 9)),
    ],
)  # fmt: skip
def test_rows_of_something_else_are_not_used(change: dict):
    assert not is_evidence({**peaks_to_row(some_peaks(0.5, 0.25)), **change})


def test_rows_without_peaks_are_not_used():
    assert not is_evidence({"score": 0.5})


def test_a_network_without_score_maps_gives_its_boxes(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    algorithm = Submodular(class_names=CLASS_NAMES, has_dense_outputs=False)
    assert algorithm.extract is None
    assert algorithm.score_threshold == LEAST_PROB
    assert len(caplog.records) == 1
    image = draw((5, 5, 30, 30, RED, 200))
    boxes = find_rectangles([image], with_probs=False)
    (found,) = algorithm.score_tiles(["a"], [image], boxes, [None])
    assert found.class_ids.tolist() == [RED]
    assert is_evidence(algorithm.describe_image("a", boxes[0], [found]))


def test_what_is_not_finite_is_one_warning(caplog: pytest.LogCaptureFixture):
    damaged = some_peaks(0.5)._replace(is_finite=False)
    algorithm = Submodular()
    found = algorithm.score_tiles(["a", "b"], [None] * 2, [Detections.empty()] * 2, [damaged, damaged])
    assert [one.probs.tolist() for one in found] == [[0.5], [0.5]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "a: scores are not finite numbers" in caplog.text


@pytest.mark.parametrize(("probability", "bits"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.25, 0.8112781244591328)])
def test_binary_entropy(probability: float, bits: float):
    assert binary_entropy(np.array([probability]))[0] == pytest.approx(bits, abs=1e-12)
