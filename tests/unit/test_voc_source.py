"""Pascal VOC datasets: corners as they are, splits in their own order, every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.annotated_sets import write_voc
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.tools.annotation_writer import LabelledBox
from ymir_detectron2.tools.voc_source import list_voc_images, read_voc

IMAGES: dict[str, list[LabelledBox]] = {"first one": [("WBC", 1, 2, 10, 12), ("RBC", 5, 5, 5, 4)], "empty": []}


BOMB = '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij")
) + "]><a>&j;</a>"


@pytest.mark.parametrize("names", [("annotations", "images"), ("Annotations", "JPEGImages")])
def test_images_of_a_split_with_their_boxes(tmp_path: Path, names: tuple[str, str]):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": ["empty", "", " first one "]}, names=names)
    images = read_voc(voc, "train.txt")
    assert [(image.path, list(image.boxes)) for image in images] == [
        (voc / names[1] / "empty.jpg", []),
        (voc / names[1] / "first one.jpg", IMAGES["first one"]),
    ]
    assert list_voc_images(voc, "train.txt") == [image.path for image in images]


def test_a_split_may_be_a_path_and_list_file_names(tmp_path: Path):
    voc = write_voc(tmp_path / "voc", IMAGES, {})
    (tmp_path / "split.txt").write_text("empty.jpg\n")
    assert [image.path.name for image in read_voc(voc, str(tmp_path / "split.txt"))] == ["empty.jpg"]


def test_candidates_need_no_annotations(tmp_path: Path):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": ["empty"]})
    (voc / "annotations" / "empty.xml").unlink()
    assert [path.name for path in list_voc_images(voc, "train.txt")] == ["empty.jpg"]


def test_fractions_are_cut_and_objects_without_box_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    voc = write_voc(tmp_path / "voc", {"a": []}, {"train.txt": ["a"]})
    box = "<bndbox><xmin>1.9</xmin><ymin>2</ymin><xmax>3e1</xmax><ymax> 4 </ymax></bndbox>"
    (voc / "annotations" / "a.xml").write_text(
        f"<annotation><object><name> cat </name>{box}</object><object><name>cat</name></object></annotation>"
    )
    assert read_voc(voc, "train.txt")[0].boxes == (("cat", 1, 2, 30, 4),)
    assert caplog.messages == [f"left out 1 objects without <bndbox> in {voc / 'annotations'}"]


@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        pytest.param("<annotation>", "is no XML", id="cut off"),
        pytest.param("<annotation><object><name> </name></object></annotation>", "has no <name>", id="blank name"),
        pytest.param(
            "<annotation><object><name>a</name><bndbox><xmin>one</xmin></bndbox></object></annotation>",
            "<xmin> holds 'one'", id="a word for a number",
        ),
        pytest.param(
            "<annotation><object><name>a</name><bndbox><xmin>inf</xmin></bndbox></object></annotation>",
            "<xmin> holds 'inf'", id="infinite",
        ),
        pytest.param('<?xml version="1.0" encoding="big5"?><a/>', "is no XML", id="several bytes a character"),
        pytest.param('<?xml version="1.0" encoding="x-none"?><a/>', "is no XML", id="unknown encoding"),
        pytest.param('<?xml version="1.0" encoding="hex"?><a/>', "is no XML", id="an encoding of bytes"),
        pytest.param('<?xml version="1.0" encoding="idna"?><a/>', "is no XML", id="an encoding of host names"),
        pytest.param('<?xml version="1.0" encoding="undefined"?><a/>', "is no XML", id="an encoding that always fails"),
        pytest.param(BOMB, "is no XML", id="entities that stand for a billion"),
        pytest.param('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>', "is no XML", id="a file"),
        pytest.param("<a>" * 100_000, "is no XML", id="deep"),
        pytest.param(f"<a><object><name>a</name><bndbox><xmin>{'9' * 5000}</xmin></bndbox></object></a>",
                     "<xmin> holds '999", id="5000 digits"),
        pytest.param("<a><object><name>a</name><bndbox><xmin>1e300</xmin></bndbox></object></a>",
                     "<xmin> holds '1e300'", id="300 digits"),
        pytest.param("<a><object><name>a&#10;b</name><bndbox/></object></a>",
                     r"'a\\nb' cannot be the name of a class", id="a name of two lines"),
        pytest.param(None, "cannot be read", id="missing"),
    ],
)  # fmt: skip
def test_an_annotation_that_cannot_be_read_is_named(tmp_path: Path, xml: str | None, sentence: str):
    voc = write_voc(tmp_path / "voc", {"a": []}, {"train.txt": ["a"]})
    file = voc / "annotations" / "a.xml"
    file.unlink() if xml is None else file.write_text(xml)
    with pytest.raises(DatasetError, match=f"^{file}: .*{sentence}[^\n]*$") as error:
        read_voc(voc, "train.txt")
    assert len(str(error.value)) < 1000


def test_a_split_line_without_an_image_is_named(tmp_path: Path):
    voc = write_voc(tmp_path / "voc", IMAGES, {"train.txt": ["empty", "nobody"]})
    with pytest.raises(DatasetError, match=r"train\.txt:2: no image named 'nobody' in .*images; correct the line"):
        read_voc(voc, "train.txt")


def test_folders_and_splits_that_do_not_exist(tmp_path: Path):
    with pytest.raises(ConfigError, match="has no folder annotations or Annotations; give the root of a Pascal VOC"):
        read_voc(tmp_path, "train.txt")
    voc = write_voc(tmp_path / "voc", IMAGES, {})
    with pytest.raises(ConfigError, match=r"^gone\.txt: no such split file, neither below .*voc nor as a path"):
        read_voc(voc, "gone.txt")
