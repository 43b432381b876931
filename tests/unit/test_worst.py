"""Which pictures come first, and which of their boxes are wrong."""

from __future__ import annotations

import pytest

from tests.judged_pictures import BOX, FAR, judged_picture
from ymir_detectron2.evaluation.matching import match_set
from ymir_detectron2.evaluation.worst import worst_pictures

FAULTLESS = judged_picture([(0, BOX)], [(0, 0.9, BOX)])
EMPTY = judged_picture([], [])
MISSED = judged_picture([(0, BOX)], [])
TWO_FALSE = judged_picture([(0, BOX)], [(0, 0.3, FAR), (0, 0.5, BOX), (1, 0.9, BOX)])  # 0.3 + 0.9
UNSURE = judged_picture([(0, BOX)], [(0, 0.9, BOX), (1, 0.2, BOX)])  # not above the threshold
RENAMED = judged_picture([(0, BOX)], [(1, 0.4, BOX)])  # missed, and false with 0.4


def worst(pictures, **options):
    return worst_pictures(pictures, match_set(pictures, 2), **options)


@pytest.mark.parametrize("pictures", [[], [EMPTY], [FAULTLESS, EMPTY, UNSURE]])
def test_where_nothing_is_wrong_there_is_no_worst(pictures):
    assert worst(pictures) == []


def test_worst_first():
    found = worst([FAULTLESS, MISSED, UNSURE, TWO_FALSE, RENAMED])
    assert [bad.number for bad in found] == [4, 3, 1]
    assert [bad.badness for bad in found] == pytest.approx([1.4, 1.2, 1.0])


def test_of_equals_the_earlier_and_no_more_than_asked_for():
    assert [bad.number for bad in worst([MISSED, TWO_FALSE, MISSED, MISSED], count=3)] == [1, 0, 2]


def test_the_wrong_boxes_are_named():
    (bad,) = worst([TWO_FALSE])
    assert (bad.missed.tolist(), bad.false.tolist(), bad.right.tolist()) == ([], [2, 0], [1])
    (bad,) = worst([TWO_FALSE], score_threshold=0.6)
    assert (bad.missed.tolist(), bad.false.tolist(), bad.right.tolist()) == ([0], [2], [])
