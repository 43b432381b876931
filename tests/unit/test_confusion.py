"""Confusion matrices that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.judged_pictures import BOX, FAR, HALF, judged_picture
from ymir_detectron2.evaluation.confusion import confusion_matrix

NEAR = (0, 0, 10, 8)  # IoU 0.8 with BOX


@pytest.mark.parametrize("num_classes", [0, 1, 3])
def test_nothing(num_classes: int):
    side = num_classes + 1
    assert confusion_matrix([], num_classes).tolist() == np.zeros((side, side)).tolist()
    assert confusion_matrix([judged_picture([], [])], num_classes).sum() == 0


@pytest.mark.parametrize(
    ("truth", "found", "cells"),
    [
        # cells: (labelled, found) with 2 for nothing
        pytest.param([(0, BOX)], [], [(0, 2)], id="missed"),
        pytest.param([], [(1, 0.9, BOX)], [(2, 1)], id="nothing there"),
        pytest.param([(0, BOX)], [(0, 0.9, BOX)], [(0, 0)], id="right"),
        pytest.param([(0, BOX)], [(1, 0.9, BOX)], [(0, 1)], id="taken for another"),
        pytest.param([(0, BOX)], [(0, 0.2, BOX)], [(0, 2)], id="score not above the threshold"),
        pytest.param([(0, BOX)], [(0, 0.9, HALF)], [(0, 2), (2, 0)], id="overlap not above the threshold"),
        pytest.param([(0, BOX)], [(0, 0.9, NEAR), (1, 0.3, BOX)], [(0, 1), (2, 0)], id="the higher overlap counts"),
        pytest.param([(0, BOX)], [(1, 0.6, BOX), (0, 0.7, BOX)], [(0, 0), (2, 1)], id="of equals the higher score"),
        pytest.param([(0, BOX), (1, NEAR)], [(0, 0.9, BOX)], [(0, 0), (1, 2)], id="each box once"),
        pytest.param(
            [(0, BOX), (1, FAR)], [(1, 0.9, BOX), (0, 0.9, FAR)], [(0, 1), (1, 0)], id="one for the other"
        ),
    ],
)
def test_what_is_taken_for_what(truth, found, cells):
    expected = np.zeros((3, 3), dtype=int)
    for cell in cells:
        expected[cell] += 1
    assert confusion_matrix([judged_picture(truth, found)], 2).tolist() == expected.tolist()


def test_pictures_add_up():
    twice = [judged_picture([(0, BOX)], [(0, 0.9, BOX)]), judged_picture([(0, BOX)], [(0, 0.9, BOX), (0, 0.9, FAR)])]
    assert confusion_matrix(twice, 1).tolist() == [[2, 0], [1, 0]]
