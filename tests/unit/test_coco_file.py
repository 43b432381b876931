"""COCO JSON, entry by entry: text for numbers, infinity, null, and the id of what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.annotated_sets import COCO_ANNOTATIONS, write_coco
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.coco_file import CROWD, NO_BBOX, CocoFile, is_coco
from ymir_detectron2.sources.labelled_image import RawBox

FIRST = dict(COCO_ANNOTATIONS[0])


def boxes_of(
    tmp_path: Path, *annotations: dict[str, Any], issues: DataIssues | None = None, **lists: Any
) -> list[RawBox]:
    file = CocoFile(write_coco(tmp_path, "train", annotations, **lists))
    return file.boxes(DataIssues() if issues is None else issues)["7"]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": []}', '{"images": {}, "annotations": [], "categories": []}', "null"]
)
def test_a_file_that_is_not_coco_json(tmp_path: Path, content: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigError, match=r"a\.json: .*; give a COCO JSON file"):
        CocoFile(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"gone\.json: cannot be read \(No such file or directory\); give a COCO"):
        CocoFile(tmp_path / "gone.json")


def test_json_without_end_is_no_coco_json(tmp_path: Path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is no JSON"):
        CocoFile(tmp_path / "a.json")
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(ConfigError, match=r"cannot be read \(Not a regular file\)"):
        CocoFile(tmp_path / "b.json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_marks_and_utf_16(tmp_path: Path, encoding: str):
    json_file = write_coco(tmp_path, "train")
    json_file.write_bytes(json_file.read_text().encode(encoding))
    assert [image.file_name for image in CocoFile(json_file).images] == ["train.png"]


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": ["4", "5", "10", "6"]}, {"image_id": "7"}, {"image_id": 7.0}, {"category_id": "9"},
        {"iscrowd": "0"}, {"iscrowd": 0.0}, {"iscrowd": None}, {"iscrowd": "false"}, {"image_id": " 7\n"},
        {"attributes": {"rotation": 0}}, {"attributes": None},
    ],
)  # fmt: skip
def test_numbers_as_text_are_numbers(tmp_path: Path, change: dict[str, Any]):
    issues = DataIssues()
    assert boxes_of(tmp_path, {**FIRST, **change}, issues=issues) == [RawBox("cat", (4, 5, 14, 11))]
    assert not issues


@pytest.mark.parametrize("value", [1, "1", True, "true"])
def test_crowd_regions_are_left_out_and_counted(tmp_path: Path, value: Any):
    issues = DataIssues()
    assert boxes_of(tmp_path, {**FIRST, "iscrowd": value}, issues=issues) == []
    assert issues.count(CROWD) == 1


@pytest.mark.parametrize("bbox", [[], None])
def test_a_polygon_without_bbox(tmp_path: Path, bbox: Any):
    issues = DataIssues()
    polygon = {"bbox": bbox, "segmentation": [[4, 5, 14, 5, 9, 11]]}
    assert boxes_of(tmp_path, {**FIRST, **polygon}, issues=issues) == [RawBox("cat", (4, 5, 14, 11))]
    assert issues.count(NO_BBOX) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"image_id": 8}, "there is no image with the id 8", id="unknown image"),
        pytest.param({"category_id": 4}, "the category with the id 4 has no entry", id="unknown category"),
        pytest.param({"category_id": 5}, "the category with the id 5 has no name", id="a category without name"),
        pytest.param({"image_id": None}, "image_id is None, expected an id", id="no image"),
        pytest.param({"bbox": [1, 2, 3]}, r"bbox is \[1, 2, 3\], expected x, y, width and height", id="three numbers"),
        pytest.param({"bbox": None}, "bbox is None", id="no box"),
        pytest.param({"bbox": []}, r"bbox is \[\]", id="an empty box"),
        pytest.param({"bbox": [1, 2, "wide", 4]}, "bbox: 'wide' is not a finite number", id="a word for a number"),
        pytest.param({"bbox": [1, 2, float("inf"), 4]}, "bbox: inf is not a finite number", id="infinity"),
        pytest.param({"bbox": [1, 2, float("nan"), 4]}, "bbox: nan is not a finite number", id="NaN"),
        pytest.param({"bbox": [1, 2, 10**400, 4]}, "bbox: an integer of 1329 bits is not", id="a number without end"),
        pytest.param({"bbox": [1e308, 2, 1e308, 4]}, r"bbox: 1e\+308 is more than any image has", id="a sum above all"),
        pytest.param({"bbox": ["1e300", 2, 3, 4]}, "bbox: '1e300' is more than any image", id="300 digits"),
        pytest.param({"bbox": ["9" * 5000, 2, 3, 4]}, "bbox: '999[^ ]* is not a finite", id="5000 digits"),
        pytest.param({"bbox": [[1], 2, 3, 4]}, r"bbox: \[1\] is not a finite number", id="a list for a number"),
        pytest.param({"bbox": {"x": 1}}, r"bbox is \{'x': 1\}, expected x, y", id="an object for a list"),
        pytest.param({"bbox": [None] * 4}, "bbox: None is not a finite number", id="four times null"),
        pytest.param({"bbox": [], "segmentation": [[[[1]]] * 6]}, r"segmentation: \[", id="deep polygons"),
        pytest.param({"image_id": [7]}, r"image_id is \[7\], expected an id", id="a list for an id"),
        pytest.param({"image_id": "a\nb"}, r"image_id is 'a\\nb', expected an id", id="an id of two lines"),
        pytest.param({"image_id": "x" * 5000}, "image_id is 'xxx", id="an id without end"),
        pytest.param({"category_id": 10**400}, "category_id is an integer of 1329 bits", id="an id of 400 digits"),
        pytest.param({"iscrowd": "perhaps"}, "iscrowd: 'perhaps' is not a finite number", id="a word for a flag"),
        pytest.param({"attributes": {"rotation": "up"}}, "attribute rotation: 'up'", id="a word for an angle"),
    ],
)
def test_a_wrong_annotation_is_named_by_its_id(tmp_path: Path, change: dict[str, Any], sentence: str):
    lists = {"categories": [{"id": 9, "name": "cat"}, {"id": 5, "name": None}]}
    pattern = rf"^[^\n]*train\.json: annotations, id 41: {sentence}[^\n]*correct the file$"
    with pytest.raises(DatasetError, match=pattern) as error:
        boxes_of(tmp_path, FIRST, {**FIRST, "id": 41, **change}, **lists)
    assert len(str(error.value)) < 1000


def test_an_entry_without_id_is_named_by_its_place(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"annotations, entry 2: bbox is None"):
        boxes_of(tmp_path, FIRST, {"image_id": 7, "category_id": 9})
    with pytest.raises(DatasetError, match=r"annotations, entry 1 is 'text', expected an object"):
        boxes_of(tmp_path, "text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        ({"images": [{"id": 7, "file_name": None}]}, "images, id 7: file_name is None, expected a name"),
        ({"images": [5]}, "images, entry 1 is 5, expected an object"),
        ({"images": [{"id": 7, "file_name": ["a"]}]}, r"images, id 7: file_name is \['a'\], expected a name"),
        ({"images": [{"id": 7, "file_name": True}]}, "images, id 7: file_name is True, expected a name"),
        ({"images": [{"id": 7, "file_name": "a/" * 3000}]}, "images, id 7: file_name is 'a/a/.*longer than any path"),
        ({"images": [{"id": {}, "file_name": "a"}]}, r"images, id \{\}: id is \{\}, expected an id"),
        ({"categories": [{"id": 9, "name": "\ud800"}]}, r"categories, id 9: '\\ud800' cannot be the name of a class"),
        ({"categories": [{"id": 9, "name": "a\nb"}]}, r"categories, id 9: 'a\\nb' cannot be the name of a class"),
        ({"categories": [{"id": 9, "name": "\0"}]}, "categories, id 9: .* cannot be the name of a class"),
        ({"categories": [{"id": 9, "name": ["cat"]}]}, r"categories, id 9: \['cat'\] cannot be the name of a class"),
        ({"categories": [{"id": 9, "name": 10**400}]}, "categories, id 9: an integer of 1329 bits cannot be the name"),
        ({"images": [{"file_name": "train.png"}]}, "images, entry 1: id is None, expected an id"),
        ({"images": [{"id": 7, "file_name": "a", "width": "wide", "height": 1}]}, "images, id 7: width: 'wide'"),
        (
            {"images": [{"id": 7, "file_name": "a.png"}, {"id": "7", "file_name": "b.png"}]},
            "images: 'a.png' and 'b.png' have the same id 7",
        ),
        (
            {"categories": [{"id": 9, "name": "a"}, {"id": 9, "name": "b"}]},
            "categories: 'a' and 'b' have the same id 9",
        ),
    ],
)
def test_wrong_images_and_categories(tmp_path: Path, lists: dict[str, Any], sentence: str):
    with pytest.raises(DatasetError, match=rf"^[^\n]*train\.json: {sentence}[^\n]*$"):
        CocoFile(write_coco(tmp_path, "train", [], **lists))


@pytest.mark.parametrize(("name", "expected"), [(5, "5"), (1.5, "1.5"), (" cat ", "cat")])
def test_names_of_classes_may_be_numbers(tmp_path: Path, name: Any, expected: str):
    (box,) = boxes_of(tmp_path, FIRST, categories=[{"id": 9, "name": name}])
    assert box.class_name == expected


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"9" * 5000, b'{"a": "\xff"}', b'{"images": [' + b"[" * 5000],
    ids=["deep", "5000 digits", "other bytes", "deep list"],
)
def test_what_is_no_json_in_any_encoding(tmp_path: Path, content: bytes):
    (tmp_path / "a.json").write_bytes(content)
    sentence = r"^[^\n]*a\.json: (is no JSON|needs the lists|is not UTF-8)[^\n]*$"
    with pytest.raises((ConfigError, DatasetError), match=sentence):
        CocoFile(tmp_path / "a.json")


def test_unlabelled_images_have_no_annotations(tmp_path: Path):
    json_file = write_coco(tmp_path, "train")
    content = json.loads(json_file.read_text())
    del content["annotations"]
    json_file.write_text(json.dumps(content))
    file = CocoFile(json_file)
    assert (is_coco(content), file.is_labelled, len(file.images)) == (True, False, 1)
    with pytest.raises(ConfigError, match="has no list of annotations"):
        file.boxes(DataIssues())
