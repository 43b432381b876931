"""Annotation files in ark and VOC form: inclusive corners become exclusive, bad lines are skipped and counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ymir_detectron2.contract.annotations import AnnotationReader, Box, LabelFile
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import DatasetError


def boxes_of(tmp_path: Path, text: str | bytes) -> tuple[list[Box] | None, int]:
    """The boxes of a file, None if it cannot be used, and how many findings there are."""
    file = tmp_path / "labels"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    issues = DataIssues()
    labels = AnnotationReader(["cat", "Dog", "\u732b"], issues).read(file)
    boxes = None if labels is None else [box for _, box in labels.boxes]
    return boxes, sum(reason["count"] for reason in issues.as_dict().values())


def bndbox(x1: int, y1: int, x2: int, y2: int, more: str = "") -> str:
    return f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>{more}</bndbox>"


CHINESE = f"<annotation><object><name>\u732b</name>{bndbox(10, 7, 19, 29)}</object></annotation>"
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
        pytest.param("3, 1, 1, 5, 5\n-1, 1, 1, 5, 5", [], 2, id="unknown classes"),
        pytest.param("0, 1, 1, 5\ncat, 1, 1, 5, 5\n0.0, 1, 1, 5, 5\n,\n1, 10, 7, 19, 29", [INCLUSIVE_10_TO_19], 4,
                     id="not an ark line"),
        pytest.param("1, 10, 7, 19, 29, -1.0, x", None, 2, id="no line that can be read"),
        pytest.param("0 0.5 0.5 0.1 0.2\n", None, 2, id="YOLO"),
        pytest.param("404 Not Found", None, 2, id="an error page"),
        pytest.param("1, 10, 7, 19, 29, -1.0, 1.0\n", [INCLUSIVE_10_TO_19], 1, id="turned by pi"),
        pytest.param("1, 10, 25, 79, 34, -1.0, -0.5\n", [Box(1, 40, -5, 50, 65)], 1, id="turned by half of pi"),
        pytest.param("1, 10, 7, 19, 29, null, 0\n", [INCLUSIVE_10_TO_19], 0, id="no quality"),
        pytest.param("<annotation/>", [], 0, id="voc, empty"),
        pytest.param(" \n<annotation><object>", None, 1, id="voc, broken off"),
        pytest.param("<annotation><object><name>cat</name></object></annotation>", [], 1,
                     id="voc, no width or height, as the platform writes it"),
        pytest.param("<annotation><object><name>cat</name><bndbox><xmin>1,5</xmin></bndbox></object></annotation>",
                     None, 2, id="voc, no box that can be read"),
        pytest.param("<html><body>502 Bad Gateway</body></html>", None, 1, id="XML that is not VOC"),
        pytest.param(f"<annotation><object><name>dog</name>{bndbox(10, 7, 19, 29)}{bndbox(4, 4, 5, 5)}</object>"
                     "</annotation>", [INCLUSIVE_10_TO_19, Box(1, 4, 4, 6, 6)], 0, id="voc, two boxes in an object"),
        pytest.param(f"<annotation><object><name>dog</name>{bndbox(10, 25, 79, 34, '<rotate_angle>0.5</rotate_angle>')}"
                     "</object></annotation>", [Box(1, 40, -5, 50, 65)], 1, id="voc, turned"),
        *(
            pytest.param(f'<?xml version="1.0" encoding="{declared}"?>{CHINESE}'.encode(encoding),
                         [Box(2, 10, 7, 20, 30)], 0, id=f"voc in {encoding}, declared as {declared}")
            for declared, encoding in (
                ("gb2312", "gb2312"), ("gbk", "gbk"), ("GB18030", "gb18030"), ("Shift_JIS", "shift_jis"),
                ("EUC-JP", "euc_jp"), ("utf-16", "utf-16"), ("utf-8", "utf-8-sig"), ("foo-8", "utf-8"),
                ("utf-16", "utf-8"), ("gb2312", "utf-8-sig"), ("zlib", "utf-8"), ("rot13", "utf-8"),
            )
        ),
        pytest.param(CHINESE.encode("utf-16-le"), [Box(2, 10, 7, 20, 30)], 0, id="voc in UTF-16 without a mark"),
        pytest.param(f"<annotation><object><name>d\u00f6g</name>{bndbox(10, 7, 19, 29)}</object></annotation>".encode(
                     "latin-1"), [], 1, id="voc in an encoding that it does not declare"),
        pytest.param("1, 10, 7, 19, 29\r\n".encode("utf-16"), [INCLUSIVE_10_TO_19], 0, id="ark in UTF-16"),
        pytest.param(b"\xff\xfe1", None, 1, id="UTF-16 broken off"),
        pytest.param(
            "<annotation><object><name> DOG</name><truncated>unknown</truncated><bndbox><xmin>10</xmin>"
            "<ymin>7</ymin><xmax>19</xmax><ymax>29</ymax><rotate_angle>0.0</rotate_angle></bndbox></object>"
            "<object><name>cat</name></object><object><name>cow</name></object></annotation>",
            [INCLUSIVE_10_TO_19], 2, id="voc",
        ),
    ],
)  # fmt: skip
def test_annotation_files(tmp_path: Path, text: str | bytes, boxes: list[Box] | None, skipped: int):
    read, findings = boxes_of(tmp_path, text)
    assert findings == skipped
    assert read == (None if boxes is None else [pytest.approx(box) for box in boxes])


@pytest.mark.parametrize("text", ["{}", " [1]"])
def test_json_annotations_are_an_error(tmp_path: Path, text: str):
    with pytest.raises(DatasetError, match="holds JSON; set export_format"):
        boxes_of(tmp_path, text)


def test_boxes_carry_their_location(tmp_path: Path):
    file = tmp_path / "labels"
    reader = AnnotationReader(["cat"], DataIssues())
    file.write_text("\n0, 1, 1, 2, 2\n")
    assert places(reader, file) == [f"{file}:2"]
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    file.write_text(f"<annotation><object><name>cow</name></object><object><name>cat</name>{box}</object></annotation>")
    assert places(reader, file) == [f"{file}: object 2"]


def places(reader: AnnotationReader, file: Path) -> list[str]:
    labels = reader.read(file)
    assert labels is not None
    return [place for place, _ in labels.boxes]


def test_a_fifo_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "labels")
    with pytest.raises(OSError, match="Not a regular file"):
        AnnotationReader(["cat"], DataIssues()).read(tmp_path / "labels")


@pytest.mark.parametrize(
    ("text", "reason", "is_left_out"),
    [
        pytest.param("9" * 5000 + ", 1, 2, 3, 4", "object of an unknown class", False, id="5000 digits"),
        pytest.param("x" * 10**6, "annotation line that is not 'class, x1, y1, x2, y2'", True, id="a million letters"),
        pytest.param("0, 1, 1, 5, 5, 0, " + "9" * 10**6, "annotation line that is not 'class, x1, y1, x2, y2'", True,
                     id="angle"),
        pytest.param("\0" * 10**6, "annotation line that is not 'class, x1, y1, x2, y2'", True,
                     id="zeros"),
        pytest.param(f"<a><object><name>{'x' * 10**6}</name></object></a>", "object of an unknown class", False,
                     id="name"),
        pytest.param(f"<a><object><name>cat</name><bndbox><xmin>{'x' * 10**6}</xmin></bndbox></object></a>",
                     "object without a readable box", True, id="corner"),
        pytest.param("<a>" * 10**5, "image whose annotation file is not Pascal VOC", True, id="deep"),
        pytest.param(f"<{'a' * 10**6}/>", "image whose annotation file is not Pascal VOC", True, id="root"),
    ],
)  # fmt: skip
def test_whatever_a_file_holds_its_finding_is_a_short_line(tmp_path: Path, text: str, reason: str, is_left_out: bool):
    issues = DataIssues()
    (tmp_path / "a.txt").write_text(text)
    labels = AnnotationReader(["cat", "dog"], issues).read(tmp_path / "a.txt")
    assert labels is None if is_left_out else labels == LabelFile([], None, "9" in text)
    assert issues.count(reason) == 1
    for line in issues.summary_lines():
        assert len(line.splitlines()) == 1
        assert len(line) < 1000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_entities_are_refused_in_every_encoding(tmp_path: Path, encoding: str):
    """The image is left out: it must not be learned as one without objects."""
    document = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY c "\u732b">]>' + CHINESE.replace(
        "\u732b", "&c;"
    )
    assert boxes_of(tmp_path, document.encode(encoding)) == (None, 1)


def test_marks_of_files_that_were_joined_are_no_text(tmp_path: Path):
    assert boxes_of(tmp_path, "\ufeff\ufeff1, 10, 7, 19, 29") == ([INCLUSIVE_10_TO_19], 0)


def test_a_file_larger_than_any_annotation_is_not_read(tmp_path: Path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(1 << 40)  # without a block on the disk
    with pytest.raises(OSError, match="Larger than 67108864 bytes"):
        AnnotationReader(["cat"], DataIssues()).read(tmp_path / "a.txt")
