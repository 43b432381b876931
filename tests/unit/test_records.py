"""Index entries to records: sizes of upright images, clipped boxes, and counts of everything that is skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_image
from ymir_detectron2.contract.data_issues import ROTATED, TWICE, DataIssues
from ymir_detectron2.contract.index_file import IndexEntry
from ymir_detectron2.dataset.image_reading import DEEP, INCOMPLETE
from ymir_detectron2.dataset.records import Record, read_records
from ymir_detectron2.errors import DatasetError

CLASS_NAMES = ("cat", "dog")
R = 10 * 2**0.5  # half the diagonal of a square of 20 pixels
CLIPPED = "box over the edge of the image, clipped"


def entry(folder: Path, name: str, annotation: str | None = "") -> IndexEntry:
    """An image with its annotation file; None: without one in the index."""
    annotation_path = None
    if annotation is not None:
        annotation_path = folder / f"{name}.txt"
        annotation_path.write_text(annotation)
    return IndexEntry(f"/in/{name}", folder / name, annotation_path)


def read(entries: list[IndexEntry], processes: int = 1) -> tuple[list[Record], dict[str, int]]:
    issues = DataIssues()
    records = list(read_records(entries, CLASS_NAMES, issues, processes=processes))
    return records, {reason: count["count"] for reason, count in issues.as_dict().items()}


@pytest.mark.parametrize(
    ("text", "boxes", "issue"),
    [
        pytest.param("", [], None, id="empty"),
        pytest.param("1, 10, 7, 19, 29", [(10, 7, 20, 30)], None, id="inclusive corners"),
        pytest.param("0, 0, 0, 95, 63", [(0, 0, 96, 64)], None, id="the whole image"),
        pytest.param("0, -5, 60, 99, 99", [(0, 60, 96, 64)], "box over the edge of the image, clipped", id="clipped"),
        pytest.param("0, 96, 1, 99, 9", [], "box outside the image, dropped", id="right of the image"),
        pytest.param("0, 1, -9, 5, -1", [], "box outside the image, dropped", id="above the image"),
        pytest.param("0, 5, 5, 4, 9", [], "box without area or with swapped corners, dropped", id="zero width"),
        pytest.param("0, 9, 5, 1, 9", [], "box without area or with swapped corners, dropped", id="swapped"),
        pytest.param("0, nan, 5, 9, 9", [], "box without area or with swapped corners, dropped", id="NaN"),
        pytest.param("0, 1, 1, Infinity, 9", [], "box with an infinite corner, dropped", id="infinite"),
        pytest.param("0, 1, -inf, 5, 9", [], "box with an infinite corner, dropped", id="negative infinity"),
        pytest.param("0, 5, 5, 9, 9, -1, inf\n0, 5, 5, 9, 9", [(5, 5, 10, 10)],
                     "annotation line that is not 'class, x1, y1, x2, y2'", id="infinite angle"),
        pytest.param("0, 10, 25, 79, 34, -1.0, 0.5", [(40, 0, 50, 64)], {ROTATED: 1, CLIPPED: 1}, id="rotated"),
        pytest.param("0, 10, 10, 29, 29, -1.0, 0.25", [(20 - R, 20 - R, 20 + R, 20 + R)], {ROTATED: 1},
                     id="rotated by 45 degrees"),
        pytest.param("0, 1, 1, 9, 9\n1, 1, 1, 9, 9\n0,1,1,9,9\n0, 1, 1, 9, 9, 0.7, 0", [(1, 1, 10, 10)] * 2, {TWICE: 2},
                     id="the same object again"),
        pytest.param("7, 1, 1, 9, 9", [], "object of an unknown class", id="unknown class"),
    ],
)  # fmt: skip
def test_boxes_are_checked_against_the_image(
    tmp_path: Path, text: str, boxes: list[tuple], issue: str | dict[str, int] | None
):
    draw_image(tmp_path / "a.png")
    (record,), issues = read([entry(tmp_path, "a.png", text)])
    assert (record.width, record.height) == (96, 64)
    np.testing.assert_array_equal(record.boxes_xyxy, np.array(boxes, dtype=np.float32).reshape(-1, 4))
    assert (record.boxes_xyxy.dtype, record.classes.dtype, len(record.classes)) == (np.float32, np.int32, len(boxes))
    assert issues == (issue if isinstance(issue, dict) else {} if issue is None else {issue: 1})


def test_boxes_of_a_rotated_photograph_are_those_of_the_upright_image(tmp_path: Path):
    draw_image(tmp_path / "a.jpg", wh=(64, 96), orientation=6)
    (record,), issues = read([entry(tmp_path, "a.jpg", "0, 1, 80, 9, 95")])
    assert (record.width, record.height) == (64, 96)
    assert (record.boxes_xyxy.tolist(), issues) == ([[1, 80, 10, 96]], {})


def test_an_image_without_an_annotation_path_has_no_objects(tmp_path: Path):
    draw_image(tmp_path / "a.png")
    (record,), issues = read([entry(tmp_path, "a.png", None)])
    assert (len(record.classes), issues) == (0, {})


def test_images_that_cannot_be_used_are_skipped_and_counted(tmp_path: Path):
    draw_image(tmp_path / "a.png")
    (tmp_path / "text.jpg").write_text("not an image")
    unlabelled = entry(tmp_path, "a.png")._replace(annotation_path=tmp_path / "gone.txt")
    entries = [entry(tmp_path, "text.jpg"), entry(tmp_path, "gone.jpg"), unlabelled, entry(tmp_path, "a.png")]
    records, issues = read(entries)
    assert [record.image_path.name for record in records] == ["a.png"]
    assert issues == {
        "unreadable image": 1, "image file that does not exist": 1, "image whose annotation file is missing": 1,
    }  # fmt: skip


@pytest.mark.parametrize("labels", ["<html/>", "<annotation><object>", "404 Not Found", "0 0.5 0.5 0.2 0.2"])
def test_an_image_whose_labels_cannot_be_read_is_not_learned_as_background(tmp_path: Path, labels: str):
    draw_image(tmp_path / "a.png")
    records, issues = read([entry(tmp_path, "a.png", labels)])
    assert records == []
    assert [reason for reason in issues if reason.startswith("image whose annotation file")]


def test_findings_of_image_files_are_counted(tmp_path: Path):
    Image.fromarray(np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)).save(tmp_path / "deep.png")
    draw_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2])
    records, issues = read([entry(tmp_path, "deep.png"), entry(tmp_path, "a.jpg")])
    assert (len(records), issues) == (2, {DEEP: 1, INCOMPLETE: 1})


def test_a_truncated_image_is_left_out_and_counted(tmp_path: Path):
    draw_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-500])
    assert read([entry(tmp_path, "a.jpg")]) == ([], {"unreadable image": 1})


def test_annotations_of_an_unknown_format_end_the_conversion(tmp_path: Path):
    draw_image(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="holds JSON"):
        read([entry(tmp_path, "a.png", "{}")])


def test_several_processes_read_the_same_in_the_same_order(tmp_path: Path):
    draw_image(tmp_path / "a.png")
    kinds = [entry(tmp_path, "a.png", "1, 10, 7, 19, 99"), entry(tmp_path, "gone.jpg"), entry(tmp_path, "a.png", None)]
    entries = [kinds[number % 3]._replace(asset=str(number)) for number in range(1100)]  # more than two chunks
    alone, shared = read(entries), read(entries, processes=2)
    assert len(alone[0]) == 733
    assert alone[1] == shared[1] == {
        "box over the edge of the image, clipped": 367, "image file that does not exist": 367,
    }  # fmt: skip
    for one, other in zip(alone[0], shared[0]):
        np.testing.assert_equal(one._asdict(), other._asdict())
