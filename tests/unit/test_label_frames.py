"""Boxes whose file states another size, or refers to the pixels as stored, become those of the upright image."""

from __future__ import annotations

from typing import Any

import pytest

from ymir_detectron2.contract.annotations import Box, LabelFile
from ymir_detectron2.contract.data_issues import SCALED, TURNED, DataIssues
from ymir_detectron2.dataset.image_reading import ImageFrame
from ymir_detectron2.dataset.label_frames import to_upright_image

PLAIN = ImageFrame((64, 96), 1)
PHOTO = ImageFrame((64, 96), 6)
"""Stored 96 wide and 64 high, upright 64 wide and 96 high."""
RELATIVE = "image whose boxes have corners from 0 to 1, not in pixels, left out"
OTHER_SIZE = "image of another size than its annotation states, left out"
INSIDE, OUTSIDE = (20, 10, 61, 51), (70, 10, 91, 51)
"""Boxes of the stored photograph: one fits both frames, one has its centre outside the upright one."""


def placed(frame: ImageFrame, boxes: list, stated_wh: Any, *, is_platforms: bool = True) -> tuple[Any, dict[str, int]]:
    labels = LabelFile([("a.xml: object 1", Box(0, *box)) for box in boxes], stated_wh, is_platforms)
    issues = DataIssues()
    found = to_upright_image(labels, frame, "a.xml", issues)
    counts = {reason: count["count"] for reason, count in issues.as_dict().items()}
    return (None if found is None else [tuple(box[1:]) for _, box in found]), counts


@pytest.mark.parametrize(
    ("stated_wh", "boxes", "expected", "issues"),
    [
        pytest.param(None, [INSIDE], [INSIDE], {}, id="no size"),
        pytest.param((96, 64), [INSIDE], [INSIDE], {}, id="the same"),
        pytest.param((192, 128), [(40, 20, 121, 101)], [(20, 10, 60.5, 50.5)], {SCALED: 1}, id="half as large now"),
        pytest.param((48, 32), [(10, 5, 31, 26)], [(20, 10, 62, 52)], {SCALED: 1}, id="twice as large now"),
        pytest.param((192, 128), [], [], {}, id="nothing to scale"),
        pytest.param((100, 100), [INSIDE], None, {OTHER_SIZE: 1}, id="another ratio"),
        pytest.param((64, 96), [INSIDE], None, {OTHER_SIZE: 1}, id="sides exchanged, but not by EXIF"),
        pytest.param((96, 64), [(90, 60, 120, 90)], [(90, 60, 120, 90)], {}, id="over the edge"),
    ],
)
@pytest.mark.parametrize("is_platforms", [True, False])
def test_the_stated_size(stated_wh: Any, boxes: list, expected: Any, issues: dict, is_platforms: bool):
    assert placed(PLAIN, boxes, stated_wh, is_platforms=is_platforms) == (expected, issues)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(5, (10, 20, 51, 61)), (6, (13, 20, 54, 61)), (7, (13, 35, 54, 76)), (8, (10, 35, 51, 76))],
)
def test_a_tool_that_states_the_stored_size_has_labelled_the_stored_image(orientation: int, expected: tuple):
    frame = ImageFrame((64, 96), orientation)
    assert placed(frame, [INSIDE], (96, 64), is_platforms=False) == ([expected], {TURNED: 1})
    assert placed(frame, [INSIDE], (64, 96), is_platforms=False) == ([INSIDE], {})


@pytest.mark.parametrize("stated_wh", [None, (96, 64)], ids=["ark", "voc"])
@pytest.mark.parametrize(
    ("boxes", "expected", "issues"),
    [
        pytest.param([INSIDE], [INSIDE], {}, id="fits the upright image"),
        pytest.param([INSIDE, (10, 70, 61, 95)], [INSIDE, (10, 70, 61, 95)], {}, id="fits the upright image only"),
        pytest.param([INSIDE, OUTSIDE], [(13, 20, 54, 61), (13, 70, 54, 91)], {TURNED: 1}, id="fits the stored image"),
        pytest.param([(40, 10, 66, 51)], [(40, 10, 66, 51)], {}, id="drawn a little over the edge"),
        pytest.param([OUTSIDE, (10, 70, 61, 95)], [OUTSIDE, (10, 70, 61, 95)], {}, id="fits neither"),
        pytest.param([], [], {}, id="no box"),
    ],
)
def test_the_platform_states_the_stored_size_whatever_the_boxes_are(
    stated_wh: Any, boxes: list, expected: list, issues: dict
):
    assert placed(PHOTO, boxes, stated_wh) == (expected, issues)


def test_a_stored_photograph_that_was_made_smaller_after_it_was_labelled():
    box = (40, 20, 122, 102)
    assert placed(PHOTO, [box], (192, 128), is_platforms=False) == ([(13, 20, 54, 61)], {SCALED: 1, TURNED: 1})


@pytest.mark.parametrize("stated_wh", [None, (96, 64)])
@pytest.mark.parametrize(
    "corners", [[(0.21, 0.16, 0.63, 0.79)], [(0, 0, 1, 1)], [(0, 0, 0, 0), (0, 0, 0, 0)], [(0.2, 0.3, 0.4, 1)] * 2]
)
def test_corners_from_0_to_1_are_not_pixels(corners: list, stated_wh: Any):
    """Fractions, or what is left of them once an import has cut them."""
    boxes = [(x1, y1, x2 + 1, y2 + 1) for x1, y1, x2, y2 in corners]
    assert placed(PLAIN, boxes, stated_wh) == (None, {RELATIVE: 1})
    with_a_large_one = [*boxes, INSIDE]
    assert placed(PLAIN, with_a_large_one, stated_wh) == (with_a_large_one, {})


def test_an_image_of_one_pixel_has_such_corners():
    assert placed(ImageFrame((1, 1), 1), [(0, 0, 1, 1)], None) == ([(0, 0, 1, 1)], {})
