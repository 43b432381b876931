"""evaluation.json read back: what a training has not written is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluated_sets import random_evaluation
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.evaluation.evaluation_file import evaluation_path, read_evaluation
from ymir_detectron2.evaluation.evaluation_summary import summarise


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    evaluation = random_evaluation(tmp_path_factory.mktemp("set"), ("cat", "dog"), 8)
    return summarise(evaluation, "iter_7", 7).as_bytes()


def write(models_dir: Path, content: bytes) -> Path:
    path = evaluation_path(models_dir)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_without_a_file_there_is_no_evaluation(tmp_path: Path):
    assert read_evaluation(tmp_path) is None


def test_it_belongs_to_one_stage(tmp_path: Path, content: bytes):
    write(tmp_path, content)
    read = read_evaluation(tmp_path)
    assert read is not None
    assert read.stage == "iter_7"
    assert read_evaluation(tmp_path, "iter_7") == read
    assert read_evaluation(tmp_path, "iter_8") is None


def changed(content: bytes, path: str, value: Any) -> bytes:
    """Set the item at a dotted path; a number is a position in a list."""
    whole = part = json.loads(content)
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in keys:
        part = part[key]
    part[last] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("format", 2, "the format 2 is not known"),
        ("ap50", 1.5, "ap50: "),
        ("ap50", float("nan"), "ap50: "),
        ("images", -1, "images: "),
        ("thresholds", [], "thresholds: "),
        ("thresholds.1", 0.9, "the thresholds do not rise"),
        ("best.score_threshold", 0.12345, "a threshold is missing"),
        ("default.score_threshold", 0.12345, "a threshold is missing"),
        ("classes.0.tp", [1], "counts of other thresholds"),
        ("classes.0.tp.0", 10**6, "more true positives than boxes"),
        ("classes.0.precision", [0.5], "curve of other recalls"),
        ("classes.0.name", 5, "classes.0.name: "),
        ("confusion.classes", [0, 2], "confusion matrix has a class that is none"),
        ("confusion.steps.0", [10**6, 0, 0, 1], "confusion matrix has a cell that is none"),
        ("confusion.steps.0", [0, 9, 0, 1], "confusion matrix has a cell that is none"),
        ("worst", [99], "an example is missing"),
        ("examples.0.gt_classes", [0] * 99, "columns of different lengths"),
        ("examples.0.pred_gt", [], "columns of different lengths"),
        ("examples.0.pred_classes.0", 2, "a class that is none"),
        ("examples.0.pred_boxes.0", [1, 2, 3], "examples.0.pred_boxes.0"),
        ("examples.0.pred_boxes.0.0", 1e300, "examples.0.pred_boxes.0.0"),
    ],
)
def test_what_no_training_writes_is_refused(tmp_path: Path, content: bytes, path: str, value: Any, finding: str):
    file = write(tmp_path, changed(content, path, value))
    with pytest.raises(ExecutorError, match="is none that a training writes") as caught:
        read_evaluation(tmp_path)
    assert str(file) in str(caught.value)
    assert finding in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path, content: bytes):
    write(tmp_path, changed(content, "added", {"by": "a later version"}))
    assert read_evaluation(tmp_path) is not None
