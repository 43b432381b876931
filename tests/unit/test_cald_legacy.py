"""The peers' CALD: their numbers, their augmentations, and their known defects."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from tests.rectangle_detector import BLUE, RED, draw, find_rectangles
from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.cald_legacy import (
    CaldLegacy,
    legacy_cutout,
    legacy_resize,
    legacy_rotate,
    sum_of_running_minima,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mining.json").read_text(encoding="utf-8"))
BOXES = np.array(GOLDEN["boxes_in"])
CASES = pytest.mark.parametrize(
    "case", GOLDEN["cald_one_augmentation"], ids=lambda case: f"{len(case['ref_conf'])} boxes"
)
SQUARE, ELSEWHERE = [0, 0, 10, 10], [50, 50, 60, 60]


def detected(boxes, scores) -> Detections:
    classes = np.zeros(len(scores), dtype=np.int64)
    return Detections(np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(scores, dtype=np.float64), classes)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def score_of(detect, image, references, name: str = "a.jpg") -> float:
    cald = CaldLegacy(detect=detect)
    return cald.score_image(name, references[0], cald.score_tiles([name], [image], references, [None]))


@CASES
def test_sum_equals_that_of_the_peers(case):
    reference, augmented = (
        detected(case["ref_boxes_in_aug_frame"], case["ref_conf"]),
        detected(case["aug_boxes"], case["aug_conf"]),
    )
    expected = case["peer_yolov5_mmdet_sum_of_running_min"]
    assert sum_of_running_minima(reference, augmented) == pytest.approx(expected, abs=1e-6)


@CASES
def test_sum_without_divergence_equals_that_of_the_predecessor(case):
    reference, augmented = (
        detected(case["ref_boxes_in_aug_frame"], case["ref_conf"]),
        detected(case["aug_boxes"], case["aug_conf"]),
    )
    expected = case["old_d2_sum_of_running_min_js0"]
    assert sum_of_running_minima(reference, augmented, with_divergence=False) == pytest.approx(expected, abs=1e-6)


JS_9_2 = (0.9 * log(0.9 / 0.55) + 0.1 * log(0.1 / 0.45) + 0.2 * log(0.2 / 0.55) + 0.8 * log(0.8 / 0.45)) / 2


@pytest.mark.parametrize(
    ("reference", "augmented", "expected"),
    [
        pytest.param(detected([SQUARE], [0.9]), detected([], []), 1.3, id="not detected again"),
        pytest.param(detected([SQUARE], [0.9]), detected([SQUARE], [0.9]), 0.6, id="detected again: |1 + .9 - 1.3|"),
        pytest.param(detected([SQUARE] * 2, [0.9] * 2), detected([SQUARE], [0.9]), 1.2, id="two copies: .6 + .6"),
        pytest.param(detected([SQUARE], [0.9]), detected([ELSEWHERE], [0.9]), 0.4, id="elsewhere: |0 + .9 - 1.3|"),
        pytest.param(
            detected([SQUARE], [0.9]), detected([SQUARE], [0.2]), abs(1 + 0.55 * (1 - JS_9_2) - 1.3), id="lower score"
        ),
        pytest.param(
            detected([SQUARE, ELSEWHERE], [0.9, 0.5]),
            detected([SQUARE, ELSEWHERE], [0.9, 0.5]),
            0.8,
            id="running minima: .6 then min(.6, .2)",
        ),
        pytest.param(
            detected([ELSEWHERE, SQUARE], [0.5, 0.9]),
            detected([SQUARE, ELSEWHERE], [0.9, 0.5]),
            0.4,
            id="the other order: .2 then min(.2, .6)",
        ),
        pytest.param(
            detected([SQUARE], [0.9]), detected([[0.9, 0.9, 10.9, 10.9]], [0.9]), 0.6, id="truncated to 0, 10"
        ),
    ],
)
def test_sum_by_hand(reference, augmented, expected):
    assert sum_of_running_minima(reference, augmented) == pytest.approx(expected, abs=1e-9)


def test_certain_boxes_have_a_number():
    """The predecessor divided 0 by 0 here: its entropy of a confidence of 1 was NaN."""
    sure = detected([SQUARE], [1.0])
    assert sum_of_running_minima(sure, sure) == pytest.approx(0.7)


def test_rotated_boxes_are_the_peers_whole_numbers():
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    assert legacy_rotate(image, BOXES, rng())[1].tolist() == GOLDEN["rotate5_boxes_h100_w200_int32_inplace"]


def test_smaller_image_is_on_the_old_canvas():
    augmented, boxes = legacy_resize(np.full((100, 200, 3), 255, dtype=np.uint8), BOXES, rng())
    assert list(augmented.shape) == GOLDEN["resize0.8_canvas_shape"]
    assert boxes == pytest.approx(np.array(GOLDEN["resize0.8_boxes"]), abs=1e-12)
    assert (augmented[:80, :160] == 255).all()
    assert augmented[80:].max() == augmented[:, 160:].max() == 0


def test_box_that_leaves_the_image_is_not_clamped():
    """The upper left corner of 640 x 480 goes to x = -19.7; the clamped box would begin at 0."""
    _, boxes = legacy_rotate(np.zeros((480, 640, 3), dtype=np.uint8), np.array([[0, 0, 10, 10]]), rng())
    assert boxes[0, 0] == -19


def test_holes_cover_a_part_of_a_box():
    image = np.full((100, 120, 3), 255, dtype=np.uint8)
    augmented, boxes = legacy_cutout(image, np.array([[40, 30, 70, 60]]), rng())
    assert 0.05 <= (augmented[30:60, 40:70] == 0).all(axis=2).mean() <= 0.8
    assert boxes.tolist() == [[40, 30, 70, 60]]
    assert legacy_cutout(image, np.zeros((0, 4)), rng())[0] is image


def test_image_without_detections_comes_last():
    empty = draw()
    assert score_of(find_rectangles, empty, find_rectangles([empty])) == -1.3


def test_box_that_is_never_detected_again_counts_1_3():
    image = draw((20, 20, 60, 60, RED, 250))
    blind = find_rectangles([draw()])
    assert score_of(lambda images: blind * len(images), image, find_rectangles([image])) == pytest.approx(1.3)


def test_copies_of_boxes_raise_the_score():
    """The known defect: the sum grows with the number of boxes."""
    image = draw((20, 20, 60, 60, RED, 250))
    references = find_rectangles([image])
    once = score_of(find_rectangles, image, references)
    assert score_of(find_rectangles, image, [references[0].take([0, 0])]) == pytest.approx(2 * once)


def test_order_of_boxes_changes_the_score():
    """The known defect: minima run along the list."""
    image = draw((10, 20, 50, 60, RED, 250), (70, 20, 110, 60, BLUE, 100))
    (reference,) = find_rectangles([image])
    assert score_of(find_rectangles, image, [reference]) != score_of(
        find_rectangles, image, [reference.take([1, 0])]
    )


def test_tiles_of_an_image_add_up():
    """Over the augmentations (1.9 + 0.8 + 0.8 + 0.8) / 4."""
    cald, merged = CaldLegacy(), Detections.empty()
    tile_scores = [np.full(4, 0.6), None, np.array([1.3, 0.2, 0.2, 0.2])]
    assert cald.score_image("a", merged, tile_scores) == pytest.approx(1.075)
    assert cald.score_image("a", merged, [None, None]) == -1.3
