"""dataset-report.json: anchors and warnings are added to what the conversion wrote."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.conftest import MakeTree
from ymir_detectron2.contract.task import Task, load_task
from ymir_detectron2.dataset.report_file import (
    add_warning,
    repeat_warnings,
    report_anchors,
    report_unreadable,
    write_report,
)

SETS = {"training": {"images": 6}, "validation": {"images": 3}}
UNREADABLE = "unreadable image, found when its pixels were decoded, left out"


@pytest.fixture
def task(ymir_tree: MakeTree) -> Task:
    task = load_task(ymir_tree().env_file)
    write_report(task, SETS)
    return task


def report(task: Task) -> Any:
    return json.loads((task.output_dir / "dataset-report.json").read_text(encoding="utf-8"))


def test_anchors_belong_to_the_training_set(task: Task):
    report_anchors(task, {"unreachable": 0.25})
    training = {"images": 6, "anchors": {"unreachable": 0.25}}
    assert report(task) == {"training": training, "validation": {"images": 3}, "warnings": []}


def test_an_unreadable_image_counts_once_however_often_it_is_found(task: Task, caplog: pytest.LogCaptureFixture):
    findings = {"unreadable image": {"count": 2, "first": ["a.jpg: is text", "b.jpg: is text"]}}
    write_report(task, {"training": {"findings": dict(findings)}, "validation": {"findings": {}}})
    report_unreadable(task, "training", {"d.jpg: truncated", "c.jpg: truncated"})
    report_unreadable(task, "training", {"c.jpg: truncated", "d.jpg: truncated"})
    report_unreadable(task, "validation", {"e.jpg: truncated"})
    assert report(task)["training"]["findings"] == {
        **findings, UNREADABLE: {"count": 2, "first": ["c.jpg: truncated", "d.jpg: truncated"]},
    }  # fmt: skip
    assert report(task)["validation"]["findings"][UNREADABLE]["count"] == 1
    assert caplog.messages == [
        f"training set: 2 x {UNREADABLE}, e.g. c.jpg: truncated",
        f"validation set: 1 x {UNREADABLE}, e.g. e.jpg: truncated",
    ]  # fmt: skip


def test_warnings_stand_last_and_once(task: Task, caplog: pytest.LogCaptureFixture):
    for sentence in ("few boxes of 猫", "the loss has diverged", "few boxes of 猫"):
        add_warning(task, sentence)
    report_anchors(task, {"unreachable": 0.25})
    assert caplog.messages == ["few boxes of 猫", "the loss has diverged"]
    assert list(report(task))[-1] == "warnings"
    assert report(task)["warnings"] == caplog.messages


def test_they_are_logged_again_at_the_end(task: Task, caplog: pytest.LogCaptureFixture):
    add_warning(task, "100 % of the boxes fit no anchor")  # a percent sign is no format
    caplog.clear()
    repeat_warnings(task)
    assert caplog.record_tuples == [
        ("ymir_detectron2.dataset.report_file", logging.WARNING, "100 % of the boxes fit no anchor")
    ]


def test_a_new_training_begins_without_the_warnings_of_the_last(task: Task):
    add_warning(task, "few boxes")
    write_report(task, SETS)
    assert report(task)["warnings"] == []
