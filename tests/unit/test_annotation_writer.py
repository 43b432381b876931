"""Annotation files as the platform exports them: ark lines and VOC XML, which the executor's own reader reads back."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.annotated_sets import grey_image
from tests.conftest import draw_image
from ymir_detectron2.contract.annotations import AnnotationReader, Box
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.tools.annotation_writer import ark_text, voc_text

BOXES = [("dog", 9, 7, 28, 21), ("cow", 1, 1, 2, 2), ("cat", 5, 5, 5, 4)]
CLASS_NAMES = ["cat", "dog"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (5, "1, 9, 7, 28, 21\n0, 5, 5, 5, 4\n"),
        (7, "1, 9, 7, 28, 21, -1.0, 0.0\n0, 5, 5, 5, 4, -1.0, 0.0\n"),
    ],
)
def test_ark_lines_of_known_classes(columns: int, text: str):
    assert ark_text(BOXES, CLASS_NAMES, columns) == text
    assert ark_text([], CLASS_NAMES, columns) == ""


def test_the_bytes_of_voc_xml(tmp_path: Path):
    image = grey_image(tmp_path / "a.png", 9)
    assert voc_text(image, "/in/assets/17/8e.png", BOXES, CLASS_NAMES) == (
        "<annotation><folder>folder</folder><filename>/in/assets/17/8e.png</filename>"
        "<source><database>unknown</database><annotation>unknown</annotation><image>unknown</image></source>"
        "<size><width>40</width><height>30</height><depth>3</depth></size><segmented>0</segmented>"
        "<object><name>dog</name><pose>unknown</pose><truncated>unknown</truncated><occluded>0</occluded>"
        "<bndbox><xmin>9</xmin><ymin>7</ymin><xmax>28</xmax><ymax>21</ymax><rotate_angle>0.0000</rotate_angle></bndbox>"
        "<difficult>0</difficult><box_quality>-1.0000</box_quality></object>"
        # a box of zero height has no bndbox
        "<object><name>cat</name><pose>unknown</pose><truncated>unknown</truncated><occluded>0</occluded>"
        "<difficult>0</difficult><box_quality>-1.0000</box_quality></object></annotation>"
    )


def stored_size(image: Path) -> list[str | None]:
    root = ElementTree.fromstring(voc_text(image, "/in/a", [], []))  # noqa: S314 - written by the test
    return [root.findtext(f"size/{tag}") for tag in ("width", "height")]


def test_the_size_in_voc_is_that_of_the_stored_image(tmp_path: Path):
    """The platform ignores EXIF, so a photograph that was held upright has its sides swapped."""
    rotated = draw_image(tmp_path / "a.jpg", wh=(64, 96), orientation=6).path
    assert stored_size(rotated) == ["96", "64"]
    (tmp_path / "text.jpg").write_text("not an image")
    assert stored_size(tmp_path / "text.jpg") == ["0", "0"]
    assert stored_size(tmp_path / "gone.jpg") == ["0", "0"]


def test_the_reader_of_the_executor_reads_both_alike(tmp_path: Path):
    image = grey_image(tmp_path / "a.png", 9)
    texts = [ark_text(BOXES, CLASS_NAMES, 7), ark_text(BOXES, CLASS_NAMES, 5), voc_text(image, "", BOXES, CLASS_NAMES)]
    for text in texts:
        (tmp_path / "labels").write_text(text)
        labels = AnnotationReader(CLASS_NAMES, DataIssues()).read(tmp_path / "labels")
        assert labels is not None
        assert labels.boxes[0][1] == Box(1, 9, 7, 29, 22)
