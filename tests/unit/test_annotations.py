"""Annotation files in ark and VOC form: inclusive corners become exclusive, bad lines are skipped and counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ymir_detectron2.contract.annotations import AnnotationReader, Box
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import DatasetError


def boxes_of(tmp_path: Path, text: str) -> tuple[list[Box], int]:
    file = tmp_path / "labels"
    file.write_text(text, encoding="utf-8")
    issues = DataIssues()
    boxes = [box for _, box in AnnotationReader(["cat", "Dog"], issues).read(file)]
    return boxes, sum(reason["count"] for reason in issues.as_dict().values())


INCLUSIVE_10_TO_19 = Box(1, 10, 7, 20, 30)


@pytest.mark.parametrize(
    ("text", "boxes", "skipped"),
    [
        pytest.param("", [], 0, id="empty"),
        pytest.param("\n \n", [], 0, id="blank"),
        pytest.param("1, 10, 7, 19, 29\n", [INCLUSIVE_10_TO_19], 0, id="ark, 5 columns"),
        pytest.param("1,10,7,19,29", [INCLUSIVE_10_TO_19], 0, id="ark without blanks"),
        pytest.param("1, 10, 7, 19, 29, -1.0, 0.0\n", [INCLUSIVE_10_TO_19], 0, id="ark, 7 columns"),
        pytest.param("\ufeff1, 10, 7, 19, 29\r\n", [INCLUSIVE_10_TO_19], 0, id="byte order mark, line ends of Windows"),
        pytest.param("0, 5, 5, 5, 5", [Box(0, 5, 5, 6, 6)], 0, id="one pixel"),
        pytest.param("2, 1, 1, 5, 5\n-1, 1, 1, 5, 5", [], 2, id="unknown classes"),
        pytest.param("0, 1, 1, 5\ncat, 1, 1, 5, 5\n0.0, 1, 1, 5, 5\n,", [], 4, id="not an ark line"),
        pytest.param("<annotation/>", [], 0, id="voc, empty"),
        pytest.param(" \n<annotation><object>", [], 1, id="voc, broken off"),
        pytest.param(
            "<annotation><object><name> DOG</name><truncated>unknown</truncated><bndbox><xmin>10</xmin>"
            "<ymin>7</ymin><xmax>19</xmax><ymax>29</ymax><rotate_angle>0.0</rotate_angle></bndbox></object>"
            "<object><name>cat</name></object><object><name>cow</name></object></annotation>",
            [INCLUSIVE_10_TO_19], 2, id="voc",
        ),
    ],
)  # fmt: skip
def test_annotation_files(tmp_path: Path, text: str, boxes: list[Box], skipped: int):
    assert boxes_of(tmp_path, text) == (boxes, skipped)


@pytest.mark.parametrize("text", ["{}", " [1]"])
def test_json_annotations_are_an_error(tmp_path: Path, text: str):
    with pytest.raises(DatasetError, match="holds JSON; set export_format"):
        boxes_of(tmp_path, text)


def test_boxes_carry_their_location(tmp_path: Path):
    file = tmp_path / "labels"
    reader = AnnotationReader(["cat"], DataIssues())
    file.write_text("\n0, 1, 1, 2, 2\n")
    assert [place for place, _ in reader.read(file)] == [f"{file}:2"]
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    file.write_text(f"<annotation><object><name>cow</name></object><object><name>cat</name>{box}</object></annotation>")
    assert [place for place, _ in reader.read(file)] == [f"{file}: object 2"]


def test_a_fifo_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "labels")
    with pytest.raises(OSError, match="Not a regular file"):
        AnnotationReader(["cat"], DataIssues()).read(tmp_path / "labels")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("9" * 5000 + ", 1, 2, 3, 4", "object of an unknown class", id="5000 digits"),
        pytest.param("x" * 10**6, "annotation line that is not 'class, x1, y1, x2, y2'", id="a million letters"),
        pytest.param("\0" * 10**6, "annotation line that is not 'class, x1, y1, x2, y2'", id="zeros"),
        pytest.param(f"<a><object><name>{'x' * 10**6}</name></object></a>", "object of an unknown class", id="name"),
        pytest.param(f"<a><object><name>cat</name><bndbox><xmin>{'x' * 10**6}</xmin></bndbox></object></a>",
                     "object without a readable box", id="corner"),
        pytest.param("<a>" * 10**5, "annotation file that is no valid XML", id="deep"),
    ],
)  # fmt: skip
def test_whatever_a_file_holds_its_finding_is_a_short_line(tmp_path: Path, text: str, reason: str):
    issues = DataIssues()
    (tmp_path / "a.txt").write_text(text)
    assert AnnotationReader(["cat", "dog"], issues).read(tmp_path / "a.txt") == []
    assert issues.count(reason) == 1
    (line,) = issues.summary_lines()
    assert len(line.splitlines()) == 1
    assert len(line) < 1000


def test_a_file_larger_than_any_annotation_is_not_read(tmp_path: Path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(1 << 40)  # without a block on the disk
    with pytest.raises(OSError, match="Larger than 67108864 bytes"):
        AnnotationReader(["cat"], DataIssues()).read(tmp_path / "a.txt")
