"""COCO datasets: boxes become inclusive corners, crowd regions are left out, and mistakes are named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.annotated_sets import COCO_ANNOTATIONS, write_coco
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.tools.coco_source import read_coco


def test_boxes_become_inclusive_corners_and_crowds_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    json_file = write_coco(tmp_path, "train")
    (image,) = read_coco(tmp_path / "images", json_file)
    assert image.path == tmp_path / "images" / "train.png"
    # x 4 + 10 - 1, y 5 + 6 - 1; 3.6 and 4.4 are rounded to 4
    assert image.boxes == (("cat", 4, 5, 13, 10), ("Dog", 0, 0, 3, 3))
    assert caplog.messages == [f"left out 1 crowd regions of {json_file}"]


def test_neighbouring_boxes_stay_neighbours(tmp_path: Path):
    """x 0.4 + 1.2 = 1.6: rounded alone, the width of the first box would be 1 and leave a gap."""
    boxes = ([0.4, 0, 1.2, 5], [1.6, 0, 3, 5])
    annotations = [{"id": index, "image_id": 7, "category_id": 3, "bbox": box} for index, box in enumerate(boxes)]
    (image,) = read_coco(tmp_path / "images", write_coco(tmp_path, "train", annotations))
    assert [(x1, x2) for _, x1, _, x2, _ in image.boxes] == [(0, 1), (2, 4)]


def test_folders_in_a_file_name_may_be_missing_here(tmp_path: Path):
    json_file = write_coco(tmp_path, "train", [], images=[{"id": 7, "file_name": "/their/folder/train.png"}])
    assert [(image.path.name, image.boxes) for image in read_coco(tmp_path / "images", json_file)] == [
        ("train.png", ())
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": []}', '{"images": {}, "annotations": [], "categories": []}']
)
def test_a_file_that_is_not_coco_json(tmp_path: Path, content: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigError, match=r"a\.json: .*; give a COCO JSON file"):
        read_coco(tmp_path, tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"gone\.json: cannot be read \(No such file or directory\); give a COCO"):
        read_coco(tmp_path, tmp_path / "gone.json")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image_id": 8}, id="unknown image"),
        pytest.param({"category_id": 4}, id="unknown category"),
        pytest.param({"bbox": [1, 2, 3]}, id="three numbers"),
        pytest.param({"bbox": None}, id="no box"),
        pytest.param({"bbox": [1, 2, "wide", 4]}, id="a word for a number"),
    ],
)
def test_an_incomplete_annotation(tmp_path: Path, change: dict[str, Any]):
    json_file = write_coco(tmp_path, "train", [{**COCO_ANNOTATIONS[0], **change}])
    with pytest.raises(DatasetError, match=r"train\.json: entry 1 of annotations: .*; correct it"):
        read_coco(tmp_path / "images", json_file)


@pytest.mark.parametrize(
    ("key", "entry", "finding"),
    [
        pytest.param("annotations", [1], r"expected an object, found \[1\]", id="a list for an object"),
        pytest.param("annotations", None, "expected an object, found None", id="null for an object"),
        pytest.param("annotations", {}, "'bbox' is missing|'category_id' is missing", id="empty object"),
        pytest.param("annotations", {"bbox": [float("inf"), 1, 2, 3]}, r"bbox is \[inf, 1, 2, 3\]", id="Infinity"),
        pytest.param("annotations", {"bbox": [float("nan"), 1, 2, 3]}, r"bbox is \[nan, 1, 2, 3\]", id="NaN"),
        pytest.param("annotations", {"bbox": [10**400, 1, 2, 3]}, "bbox is ", id="more than a float holds"),
        pytest.param("annotations", {"bbox": [1e308, 1, 1e308, 3]}, "bbox is ", id="a sum above what a float holds"),
        pytest.param("annotations", {"bbox": [[1], 1, 2, 3]}, "bbox is ", id="a list for a number"),
        pytest.param("annotations", {"bbox": {"x": 1}}, "bbox is ", id="an object for a list"),
        pytest.param("annotations", {"bbox": [None] * 4}, "bbox is ", id="four times null"),
        pytest.param("annotations", {"image_id": [7]}, "unhashable", id="a list for an id"),
        pytest.param("images", 5, "expected an object, found 5", id="a number for an image"),
        pytest.param("images", {"id": {}}, "unhashable", id="an object for the id of an image"),
        pytest.param("images", {"file_name": "a.png"}, "'id' is missing", id="an image without id"),
        pytest.param("categories", {"id": 3, "name": "\ud800"}, "cannot be the name", id="half a character"),
        pytest.param("categories", {"id": 3, "name": "a\nb"}, "cannot be the name", id="a name of two lines"),
        pytest.param("categories", {"id": 3, "name": "\0"}, "cannot be the name", id="nul"),
        pytest.param("categories", {"id": 3, "name": ["cat"]}, "cannot be the name", id="a list for a name"),
        pytest.param("categories", {"id": 3, "name": " "}, "cannot be the name", id="blank"),
    ],
)  # fmt: skip
def test_an_entry_with_odd_values_is_named(tmp_path: Path, key: str, entry: Any, finding: str):
    json_file = write_coco(tmp_path, "train")
    content = json.loads(json_file.read_text())
    is_change = key == "annotations" and isinstance(entry, dict) and entry
    content[key] = [{**COCO_ANNOTATIONS[0], **entry} if is_change else entry]
    json_file.write_text(json.dumps(content))
    pattern = rf"^[^\n]*train\.json: entry 1 of {key}: [^\n]*({finding})[^\n]*; correct it$"
    with pytest.raises(DatasetError, match=pattern):
        read_coco(tmp_path / "images", json_file)


@pytest.mark.parametrize("name", [None, 5, ["train.png"], {"a": 1}, True])
def test_a_file_name_that_is_no_text(tmp_path: Path, name: Any):
    json_file = write_coco(tmp_path, "train", [], images=[{"id": 7, "file_name": name}])
    with pytest.raises(DatasetError, match=r"train\.json: file_name is .*, expected text; correct it"):
        read_coco(tmp_path / "images", json_file)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"9" * 5000, '{"images": []}'.encode("utf-16"), b'{"a": "\xff"}', b'{"images": [' + b"[" * 5000],
    ids=["deep", "5000 digits", "UTF-16", "other bytes", "deep list"],
)
def test_what_is_no_json_in_utf_8(tmp_path: Path, content: bytes):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^[^\n]*a\.json: (is no JSON in UTF-8|needs the lists)[^\n]*; give a"):
        read_coco(tmp_path, tmp_path / "a.json")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path):
    json_file = write_coco(tmp_path, "train")
    json_file.write_bytes(b"\xef\xbb\xbf" + json_file.read_bytes())
    assert len(read_coco(tmp_path / "images", json_file)) == 1


@pytest.mark.parametrize("image", [{"id": 7, "file_name": "gone.png"}, {"id": 7}])
def test_an_image_that_does_not_exist(tmp_path: Path, image: dict[str, Any]):
    json_file = write_coco(tmp_path, "train", [], images=[image])
    with pytest.raises(DatasetError, match=r"train\.json: image '.*' is not in .*images; give the folder that holds"):
        read_coco(tmp_path / "images", json_file)


@pytest.mark.parametrize(
    "name", ["../secret.png", "link.png", "linked_folder/secret.png", "/secret.png", "..", "", "a\0b"]
)
def test_a_file_name_that_leads_out_of_the_folder_of_images(tmp_path: Path, name: str):
    """It was hard-linked into the task folder, whatever it was."""
    json_file = write_coco(tmp_path, "train", [], images=[{"id": 7, "file_name": name}])
    (tmp_path / "outside").mkdir()
    for place in (tmp_path / "secret.png", tmp_path / "outside" / "secret.png"):
        place.write_bytes(b"content")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "linked_folder").symlink_to(tmp_path / "outside")
    with pytest.raises(DatasetError, match=r"is not in .*images; give the folder that holds it"):
        read_coco(tmp_path / "images", json_file)


def test_json_without_end_is_no_coco_json(tmp_path: Path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is no JSON"):
        read_coco(tmp_path, tmp_path / "a.json")
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(ConfigError, match=r"cannot be read \(Not a regular file\)"):
        read_coco(tmp_path, tmp_path / "b.json")
