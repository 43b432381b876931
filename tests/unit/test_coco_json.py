"""COCO JSON: what is written can be loaded again, by this project and by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Sequence

import numpy as np
import pytest
from pycocotools.coco import COCO

from ymir_detectron2.dataset.coco_json import load_coco_json, write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.errors import DatasetError

CLASS_NAMES = ("cat", "dog")


def record(name: str, boxes: Sequence[Sequence[float]] = (), classes: Sequence[int] = ()) -> Record:
    """An image of 30 x 20 pixels."""
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return Record(Path("/in") / name, 30, 20, corners, np.array(classes, dtype=np.int32))


RECORDS = [
    record("a.jpg", [(9, 7, 29, 20), (0.1, 0, 1 / 3, 20)], [1, 0]),
    record('b "ü".jpg'),
    record("c.jpg", [(1, 2, 3, 5)], [1]),
]


def test_columns_are_those_of_the_records(tmp_path: Path):
    write_coco_json(tmp_path / "deep" / "coco.json", iter(RECORDS), CLASS_NAMES)
    data = load_coco_json(tmp_path / "deep" / "coco.json")
    assert len(data) == 3
    assert (data.class_names, data.image_paths) == (CLASS_NAMES, ("/in/a.jpg", '/in/b "ü".jpg', "/in/c.jpg"))
    np.testing.assert_array_equal(data.image_hw, [[20, 30]] * 3)
    np.testing.assert_array_equal(data.box_starts, [0, 2, 2, 3])
    for index, expected in enumerate(RECORDS):
        boxes, classes = data.objects(index)
        np.testing.assert_allclose(boxes, expected.boxes_xyxy, rtol=1e-6)
        np.testing.assert_array_equal(classes, expected.classes)
    assert (data.boxes_xyxy.dtype, data.classes.dtype) == (np.float32, np.int64)


def test_pycocotools_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_coco_json(tmp_path / "coco.json", RECORDS, CLASS_NAMES)
    coco = COCO(str(tmp_path / "coco.json"))
    assert [(category["id"], category["name"]) for category in coco.loadCats(coco.getCatIds())] == [
        (1, "cat"), (2, "dog"),
    ]  # fmt: skip
    first = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert first[0] == {
        "id": 1, "image_id": 1, "category_id": 2, "iscrowd": 0, "bbox": [9, 7, 20, 13], "area": 260,
    }  # fmt: skip
    assert coco.getAnnIds(imgIds=[2]) == []
    assert coco.loadImgs([2]) == [{"id": 2, "file_name": '/in/b "ü".jpg', "width": 30, "height": 20}]


@pytest.mark.parametrize(
    ("records", "images"), [pytest.param([], 0, id="no image"), pytest.param([record("a.jpg")], 1, id="no box")]
)
def test_sets_without_boxes(tmp_path: Path, records: list[Record], images: int):
    write_coco_json(tmp_path / "coco.json", records, CLASS_NAMES)
    data = load_coco_json(tmp_path / "coco.json")
    assert (len(data), data.image_hw.shape, data.boxes_xyxy.shape) == (images, (images, 2), (0, 4))
    assert data.box_starts.tolist() == [0] * (images + 1)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", json.dumps({"images": [], "annotations": [{"image_id": 1, "bbox": [1]}]})]
)
def test_a_file_of_another_structure(tmp_path: Path, content: str):
    (tmp_path / "coco.json").write_text(content)
    with pytest.raises(DatasetError, match=r"coco\.json: is not the COCO file that this executor writes"):
        load_coco_json(tmp_path / "coco.json")


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"gone: is not the COCO file"):
        load_coco_json(tmp_path / "gone")


def test_records_that_cannot_be_read_leave_no_file(tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        write_coco_json(tmp_path / "coco.json", (record(f"{1 // number}") for number in (1, 0)), CLASS_NAMES)
    assert list(tmp_path.iterdir()) == []


def test_other_columns_leave_the_rest_and_the_set_itself_as_they_were(tmp_path: Path):
    write_coco_json(tmp_path / "coco.json", RECORDS, CLASS_NAMES)
    data = load_coco_json(tmp_path / "coco.json")
    other = data.with_columns(draws=np.array([1.0, 0.5, 1.0]))
    assert data.draws is None
    assert other.draws is not None
    assert (other.image_paths, len(other)) == (data.image_paths, 3)
    np.testing.assert_array_equal(other.boxes_xyxy, data.boxes_xyxy)
