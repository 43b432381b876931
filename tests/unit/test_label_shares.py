"""Where the labels of a ranking go: classes among the first images, from either file that says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox
from ymir_detectron2.results.label_shares import (
    MOST_CLASSES,
    class_of_most_boxes,
    label_shares,
    novelty_by_rank,
)
from ymir_detectron2.results.mining_parts import FILE_NAME, PartsRow, write_parts
from ymir_detectron2.results.task_output import TaskOutput


def row(number: int, class_name: str, *, nothing_found: bool = False, novelty: float | None = 1.0) -> PartsRow:
    return PartsRow(f"/in/{number:04}.jpg", 1.0 - number / 1e4, class_name, nothing_found, 0.5, novelty, "")


def order(count: int) -> list[str]:
    return [f"/in/{number:04}.jpg" for number in range(count)]


def box(class_name: str, score: float = 0.5) -> ResultBox:
    return ResultBox(0, 0, 9, 9, class_name, score)


def test_classes_are_counted_among_the_first_so_many_and_among_all(tmp_path: Path):
    """Of 600 images the first 60 are cats, the next 60 dogs, and nothing is found in the rest."""
    rows = [row(n, "cat" if n < 60 or n >= 120 else "dog", nothing_found=n >= 120) for n in range(600)]
    write_parts(tmp_path / FILE_NAME, rows)
    shares = label_shares(TaskOutput(tmp_path), order(600))
    assert shares is not None
    assert shares.is_by_gain
    assert shares.cuts == [50, 100, 500, 600]
    assert {one.name: list(one.counts) for one in shares.rows} == {
        "cat": [50, 60, 60, 60],
        "dog": [0, 40, 60, 60],
        "nothing found": [0, 0, 380, 480],
    }
    assert shares.rows[-1].name == "nothing found"


def test_the_order_is_that_of_the_result_and_not_of_the_file(tmp_path: Path):
    write_parts(tmp_path / FILE_NAME, [row(n, "cat" if n < 60 else "dog") for n in range(120)])
    shares = label_shares(TaskOutput(tmp_path), order(120)[::-1])
    assert shares is not None
    assert {one.name: list(one.counts) for one in shares.rows} == {"cat": [0, 40, 60], "dog": [50, 60, 60]}


def test_parts_of_another_task_are_not_used(tmp_path: Path):
    write_parts(tmp_path / FILE_NAME, [row(n, "cat") for n in range(60)])
    assert label_shares(TaskOutput(tmp_path), ["/in/other.jpg", *order(60)]) is None


def test_without_parts_the_boxes_of_the_inference_tell(tmp_path: Path):
    with InferResultWriter(tmp_path / "infer-result.json", writes_stages=True) as writer:
        for number in range(60):
            writer.add(f"/in/{number:04}.jpg", [box("cat"), box("dog"), box("dog")] if number % 3 else [])
    shares = label_shares(TaskOutput(tmp_path), order(60))
    assert shares is not None
    assert not shares.is_by_gain
    assert shares.novelty == []
    assert {one.name: list(one.counts) for one in shares.rows} == {"dog": [33, 40], "nothing found": [17, 20]}


@pytest.mark.parametrize("count", [0, 3])
def test_a_folder_without_either_file_says_nothing(tmp_path: Path, count: int):
    assert label_shares(TaskOutput(tmp_path), order(count)) is None


def test_of_very_many_classes_the_others_are_one_row(tmp_path: Path):
    write_parts(tmp_path / FILE_NAME, [row(n, f"class {min(n, 90)}") for n in range(100)])
    shares = label_shares(TaskOutput(tmp_path), order(100))
    assert shares is not None
    assert len(shares.rows) == MOST_CLASSES + 1
    assert shares.rows[0] == ("class 90", [0, 10])
    assert shares.rows[-1].name == "71 other classes"
    assert [sum(counts) for counts in zip(*(one.counts for one in shares.rows))] == [50, 100]


def test_the_class_of_most_boxes_and_of_equal_ones_the_surer():
    assert class_of_most_boxes([]) == ""
    assert class_of_most_boxes([box("cat", 0.9), box("dog"), box("dog")]) == "dog"
    assert class_of_most_boxes([box("cat", 0.3), box("dog", 0.4)]) == "dog"


def test_novelty_is_averaged_over_stretches_of_equal_length():
    assert novelty_by_rank([row(0, "", novelty=None), row(1, "", novelty=0.5)]) == [[2.0, 0.5]]
    points = novelty_by_rank([row(n, "", novelty=1.0 if n < 500 else 0.25) for n in range(1000)])
    assert len(points) == 100
    assert points[0] == [5.5, 1.0]
    assert points[-1] == [995.5, 0.25]
    assert novelty_by_rank([]) == []
