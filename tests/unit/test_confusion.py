"""Confusion matrices at one threshold, on sets small enough to work out by hand, and at many, against those at one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluated_images import BOX, FAR, HALF, evaluated_image
from ymir_detectron2.evaluation.confusion import confusion_matrix, confusion_steps
from ymir_detectron2.evaluation.matching import EvaluatedImage

NEAR = (0, 0, 10, 8)  # IoU 0.8 with BOX


@pytest.mark.parametrize("num_classes", [0, 1, 3])
def test_confusion_of_nothing(num_classes: int):
    side = num_classes + 1
    assert confusion_matrix([], num_classes).tolist() == np.zeros((side, side)).tolist()
    assert confusion_matrix([evaluated_image([], [])], num_classes).sum() == 0


@pytest.mark.parametrize(
    ("gt", "pred", "cells"),
    [
        # cells: (class of the object, class of the detection) with 2 for none
        pytest.param([(0, BOX)], [], [(0, 2)], id="fn"),
        pytest.param([], [(1, 0.9, BOX)], [(2, 1)], id="fp"),
        pytest.param([(0, BOX)], [(0, 0.9, BOX)], [(0, 0)], id="tp"),
        pytest.param([(0, BOX)], [(1, 0.9, BOX)], [(0, 1)], id="another class"),
        pytest.param([(0, BOX)], [(0, 0.2, BOX)], [(0, 2)], id="score not above the threshold"),
        pytest.param([(0, BOX)], [(0, 0.9, HALF)], [(0, 2), (2, 0)], id="IoU not above the threshold"),
        pytest.param([(0, BOX)], [(0, 0.9, NEAR), (1, 0.3, BOX)], [(0, 1), (2, 0)], id="the higher IoU counts"),
        pytest.param([(0, BOX)], [(1, 0.6, BOX), (0, 0.7, BOX)], [(0, 0), (2, 1)], id="of equals the higher score"),
        pytest.param([(0, BOX), (1, NEAR)], [(0, 0.9, BOX)], [(0, 0), (1, 2)], id="each box once"),
        pytest.param([(0, BOX), (1, FAR)], [(1, 0.9, BOX), (0, 0.9, FAR)], [(0, 1), (1, 0)], id="one for the other"),
    ],
)
def test_confusion_pairs_boxes_whatever_their_classes(gt, pred, cells):
    expected = np.zeros((3, 3), dtype=int)
    for cell in cells:
        expected[cell] += 1
    assert confusion_matrix([evaluated_image(gt, pred)], 2).tolist() == expected.tolist()


def test_confusions_of_images_add_up():
    twice = [evaluated_image([(0, BOX)], [(0, 0.9, BOX)]), evaluated_image([(0, BOX)], [(0, 0.9, BOX), (0, 0.9, FAR)])]
    assert confusion_matrix(twice, 1).tolist() == [[2, 0], [1, 0]]


def crowded_images(count: int, num_classes: int) -> list[EvaluatedImage]:
    """Boxes that overlap each other, under classes at random, with scores on and between the thresholds."""
    random = np.random.default_rng(5)
    images = []
    for _ in range(count):
        corners = random.uniform(0, 25, size=(24, 2))
        boxes = np.concatenate([corners, corners + random.uniform(12, 18, size=(24, 2))], axis=1)
        classes = random.integers(0, num_classes, 24).tolist()
        scores = np.where(random.random(24) < 0.5, random.integers(0, 101, 24) / 100, random.random(24)).tolist()
        rows = list(zip(classes, scores, map(tuple, boxes.tolist())))
        images.append(evaluated_image([(class_id, box) for class_id, _, box in rows[:8]], rows[8:]))
    return images


THRESHOLDS = np.sort(np.append(np.arange(101) / 100, 0.437))


def test_the_steps_add_up_to_the_matrix_at_each_threshold():
    images = crowded_images(30, 4)
    steps = confusion_steps(images, np.arange(4), THRESHOLDS)
    assert (steps.change < 0).any(), "a detection that overlaps more takes an object from one that scores higher"
    for level, threshold in enumerate(THRESHOLDS):
        assert steps.matrix(level, 4).tolist() == confusion_matrix(images, 4, threshold).tolist(), threshold


def test_grouped_classes_share_a_row():
    images = crowded_images(10, 6)
    groups = np.array([0, 2, 1, 2, 2, 1])
    steps = confusion_steps(images, groups, THRESHOLDS)
    whole = confusion_matrix(images, 6, 0.3)
    side = np.append(groups, 3)
    expected = [[whole[np.ix_(side == row, side == column)].sum() for column in range(4)] for row in range(4)]
    assert steps.matrix(30, 3).tolist() == expected


@pytest.mark.parametrize("num_classes", [0, 1])
def test_steps_of_nothing(num_classes: int):
    for images in ([], [evaluated_image([], [])]):
        steps = confusion_steps(images, np.arange(num_classes), THRESHOLDS)
        assert [len(column) for column in steps] == [0] * 4


def test_without_a_detection_all_objects_are_missed_at_every_threshold():
    steps = confusion_steps([evaluated_image([(0, BOX), (0, FAR)], [])], np.arange(1), THRESHOLDS)
    assert [column.tolist() for column in steps] == [[len(THRESHOLDS)], [0], [1], [2]]
