"""Both sets of a task to COCO JSON and a report, or an error that says what was looked for."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.conftest import CLASS_NAMES, MakeTree, Tree
from ymir_detectron2.contract.task import Task, load_task
from ymir_detectron2.dataset.coco_json import load_coco_json
from ymir_detectron2.dataset.conversion import coco_files, convert_task
from ymir_detectron2.errors import DatasetError


def report(task: Task) -> Any:
    return json.loads((task.output_dir / "dataset-report.json").read_text(encoding="utf-8"))


def unlabel(tree: Tree, name: str) -> None:
    """Empty all annotation files of a set."""
    for line in tree.index_lines(name):
        tree.real(line.split("\t")[1]).write_text("")


def test_both_sets_and_the_report_are_written(ymir_tree: MakeTree):
    task = load_task(ymir_tree().env_file)
    files = convert_task(task)
    assert files == coco_files(task)
    train, val = load_coco_json(files.train), load_coco_json(files.val)
    assert (len(train), len(val)) == (6, 3)
    assert train.class_names == CLASS_NAMES
    assert list(train.image_paths) == sorted(train.image_paths), "not in the order of the platform's hash map"
    written = report(task)
    assert list(written) == ["training", "validation", "warnings"], "where the file ends, a reader sees them"
    assert (written["training"]["images"], written["training"]["boxes"]) == (6, len(train.classes))


def test_a_training_set_without_boxes_is_refused(ymir_tree: MakeTree):
    tree = ymir_tree()
    unlabel(tree, "train")
    with pytest.raises(DatasetError, match=r"train-index\.tsv: no usable box of any class in 6 images \(every anno"):
        convert_task(load_task(tree.env_file))


def test_a_validation_set_without_boxes_is_a_warning(ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture):
    tree = ymir_tree()
    unlabel(tree, "val")
    convert_task(load_task(tree.env_file))
    sentence = "validation set: no box at all, so AP cannot be measured and counts as 0; choose a set with labels"
    assert sentence in caplog.messages
    assert sentence in report(load_task(tree.env_file))["warnings"]


@pytest.mark.parametrize(("name", "role"), [("train", "training"), ("val", "validation")])
def test_a_set_without_a_usable_image_is_refused(ymir_tree: MakeTree, name: str, role: str):
    tree = ymir_tree()
    for line in tree.index_lines(name):
        tree.real(line.split("\t")[0]).unlink()
    pattern = rf"{name}-index\.tsv: none of its images can be used \(\d x image file that does not exist, e\.g\. .*;"
    with pytest.raises(DatasetError, match=pattern):
        convert_task(load_task(tree.env_file))


def test_a_task_without_a_validation_set_is_refused(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.edit("env.yaml", input={"training_index_file": "/in/train-index.tsv"})
    with pytest.raises(DatasetError, match=r"env\.yaml names no validation index file"):
        convert_task(load_task(tree.env_file))


def test_classes_without_boxes_are_named_up_to_five(ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture):
    more = [f"class {number}" for number in range(7)]
    task = load_task(ymir_tree(class_names=[*CLASS_NAMES, *more]).env_file)
    with caplog.at_level(logging.WARNING):
        convert_task(task)
    named = "class 0, class 1, class 2, class 3, class 4 and 2 more"
    without = [sentence for sentence in caplog.messages if "no box of" in sentence]
    assert without == [
        f"training set: no box of {named}, which cannot be learned; label some",
        f"validation set: no box of {named}, which cannot be measured; label some",
    ]
    assert report(task)["warnings"] == caplog.messages


def test_classes_with_fewer_than_ten_boxes_are_named_with_their_number(
    ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture
):
    tree = ymir_tree()
    unlabel(tree, "train")
    # all different: an object that is there twice counts once
    lines = [f"0, {x}, 1, 40, 8" for x in range(9)] + [f"1, {x}, 1, 40, 8" for x in range(10)]
    tree.real(tree.index_lines("train")[0].split("\t")[1]).write_text("\n".join(lines))
    convert_task(load_task(tree.env_file))
    few, other = CLASS_NAMES[:2]
    (sentence,) = [one for one in caplog.messages if one.startswith("training set: fewer")]
    assert sentence == f"training set: fewer than 10 boxes of {few} (9), which will hardly be learned; label more"
    assert other not in sentence


def test_validation_images_that_are_learned_are_counted(ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture):
    tree = ymir_tree()
    learned = tree.real(tree.index_lines("train")[0].split("\t")[0])
    tree.real(tree.index_lines("val")[1].split("\t")[0]).write_bytes(learned.read_bytes())
    task = load_task(tree.env_file)
    convert_task(task)
    (sentence,) = [one for one in caplog.messages if "are in the training set too" in one]
    assert sentence.startswith("1 of 3 validation images are in the training set too, e.g. ")
    assert sentence in report(task)["warnings"]


def test_sets_that_are_converted_for_others_leave_the_report_alone(
    ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture
):
    tree = ymir_tree()
    unlabel(tree, "val")
    task = load_task(tree.env_file)
    convert_task(task, reports=False)
    assert any("no box at all" in sentence for sentence in caplog.messages)
    assert not (task.output_dir / "dataset-report.json").exists()
