"""The summary of a converted set, with numbers that can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.dataset.report import SetSummary


def record(width: int, height: int, sides: list[tuple[int, int]], classes: list[int]) -> Record:
    """Boxes of the given widths and heights at the upper left corner."""
    boxes = np.array([(0, 0, *side) for side in sides], dtype=np.float32).reshape(-1, 4)
    return Record(Path("a.jpg"), width, height, boxes, np.array(classes, dtype=np.int32))


def test_an_empty_set():
    assert SetSummary(["cat"]).as_dict(DataIssues()) == {
        "images": 0, "images_without_boxes": 0, "boxes": 0, "boxes_per_class": {"cat": 0},
        "boxes_by_size": {"small": 0, "medium": 0, "large": 0}, "image_width": {}, "image_height": {}, "findings": {},
    }  # fmt: skip


def test_images_and_boxes_are_counted_by_class_and_size():
    summary, issues = SetSummary(["cat", "dog", "bird"]), DataIssues()
    issues.add("odd", "here")
    records = [
        record(100, 50, [(31, 33), (32, 32), (16, 63)], [0, 2, 2]),  # areas 1023, 1024 and 1008
        record(200, 50, [(96, 95), (96, 96)], [2, 0]),  # 9120 and 9216
        record(300, 60, [], []),
    ]
    assert [summary.add(one) for one in records] == records
    report = summary.as_dict(issues)
    assert report == {
        "images": 3, "images_without_boxes": 1, "boxes": 5, "boxes_per_class": {"cat": 2, "dog": 0, "bird": 3},
        "boxes_by_size": {"small": 2, "medium": 2, "large": 1},
        "image_width": {"min": 100, "median": 200, "max": 300},
        "image_height": {"min": 50, "median": 50, "max": 60},
        "findings": {"odd": {"count": 1, "first": ["here"]}},
    }  # fmt: skip
    assert json.loads(json.dumps(report)) == report, "no NumPy types"
