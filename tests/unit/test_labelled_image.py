"""Boxes as tools write them, to whole pixels of the upright image; every change is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.annotated_sets import marked_image
from ymir_detectron2.contract.data_issues import ROTATED, SCALED, TURNED, TWICE, DataIssues
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.sources.labelled_image import RELATIVE, UNREADABLE, RawBox, RawImage, is_name, to_pixels


def test_inclusive_corners_stay_and_their_fractions_are_cut(tmp_path: Path):
    raw = RawImage(marked_image(tmp_path / "a.png"), [RawBox("cat", (20.9, 10, 60.9, 50.2))], "a.xml", (96, 64))
    issues = DataIssues()
    assert to_pixels([raw], issues, inclusive=True)[0].boxes == (("cat", 20, 10, 60, 50),)
    assert not issues


@pytest.mark.parametrize(
    ("inclusive", "corners", "stated", "orientation", "expected", "reason"),
    [
        pytest.param(True, (40, 20, 120, 100), (192, 128), 1, (20, 10, 60, 50), SCALED, id="scaled"),
        pytest.param(True, (20, 10, 60, 50), (96, 64), 6, (13, 20, 53, 60), TURNED, id="turned"),
        pytest.param(False, (20, 10, 61, 51), (96, 64), 6, (13, 20, 53, 60), TURNED, id="turned, exclusive"),
        pytest.param(True, (40, 20, 121, 101), (192, 128), 6, (13, 20, 53, 60), TURNED, id="scaled and turned"),
        pytest.param(True, (20, 10, 60, 50), None, 1, (20, 10, 60, 50), None, id="no size stated"),
        pytest.param(True, (20, 10, 60, 50), (0, 0), 1, (20, 10, 60, 50), None, id="zero stated"),
        pytest.param(True, (20, 10, 60, 50), (1e-320, 1e-320), 1, (20, 10, 60, 50), None, id="almost zero stated"),
        pytest.param(False, (0.21, 0.16, 0.63, 0.79), (0, 0), 1, (20, 10, 59, 50), RELATIVE, id="relative to zero"),
        pytest.param(True, (0.21, 0.16, 0.63, 0.79), (96, 64), 1, (20, 10, 59, 50), RELATIVE, id="relative"),
        pytest.param(False, (0.21, 0.16, 0.63, 0.79), None, 1, (20, 10, 59, 50), RELATIVE, id="relative, exclusive"),
        pytest.param(False, (0.21, 0.16, 0.63, 0.79), (96, 64), 6, (13, 20, 53, 59), TURNED, id="relative and turned"),
    ],
)  # fmt: skip
def test_boxes_of_other_frames(
    tmp_path: Path, inclusive: bool, corners: tuple[float, float, float, float], stated: tuple[float, float] | None,
    orientation: int, expected: tuple[int, ...], reason: str | None,
):  # fmt: skip
    path, issues = marked_image(tmp_path / "a.png", orientation=orientation), DataIssues()
    (image,) = to_pixels([RawImage(path, [RawBox("cat", corners)], "a.xml", stated)], issues, inclusive=inclusive)
    assert image.boxes == (("cat", *expected),)
    if reason is None:
        assert not issues
    else:
        assert issues.count(reason) == 1


@pytest.mark.parametrize("text", ["cat", " 猫 ", "a b", "x" * 5000])
def test_names_of_classes(text: str):
    assert is_name(text)


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\0", "a\x85b", "a\u2028b", "\ud800", "\uffff"])
def test_text_that_is_no_name_of_a_class(text: str):
    assert not is_name(text)


def test_a_rotated_box_ends_at_the_edges_of_its_image(tmp_path: Path):
    issues = DataIssues()
    raw = RawImage(marked_image(tmp_path / "a.png"), [RawBox("cat", (10, 25, 80, 35), 1.5707963267948966)], "a")
    assert to_pixels([raw], issues)[0].boxes == (("cat", 40, 0, 49, 63),)
    assert issues.count(ROTATED) == 1


def test_another_size_is_refused_with_both_sizes(tmp_path: Path):
    raw = RawImage(marked_image(tmp_path / "a.png"), [], "a.xml", (640, 640))
    with pytest.raises(DatasetError, match=r"^a\.xml: states the size 640x640, but .*a\.png has 96x64; correct"):
        to_pixels([raw], DataIssues())


def test_an_object_that_is_there_twice_counts_once_and_names_ignore_case(tmp_path: Path):
    boxes = [RawBox("Cat", (1, 1, 9, 9)), RawBox("cat", (1, 1, 9, 9)), RawBox("dog", (1, 1, 9, 9))]
    issues = DataIssues()
    (image,) = to_pixels([RawImage(marked_image(tmp_path / "a.png"), boxes, "a")], issues)
    assert [box[0] for box in image.boxes] == ["Cat", "dog"]
    assert issues.count(TWICE) == 1


def test_a_file_that_is_no_image_is_left_out(tmp_path: Path):
    (tmp_path / "b.jpg").write_text("text")
    raw = [RawImage(marked_image(tmp_path / "a.png"), [], "a"), RawImage(tmp_path / "b.jpg", [], "b")]
    issues = DataIssues()
    assert [image.path.name for image in to_pixels(raw, issues)] == ["a.png"]
    assert issues.count(UNREADABLE) == 1
