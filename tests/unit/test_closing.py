"""The last lines of a task that has ended well."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Sequence

import pytest

from tests.conftest import MakeTree
from tests.evaluated_sets import random_evaluation
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.contract.training_result import Stage
from ymir_detectron2.evaluation.evaluation_file import ClassEvaluation, Point
from ymir_detectron2.evaluation.evaluation_summary import summarise
from ymir_detectron2.results.mining_explanations import (
    FILE_NAME,
    BoxReason,
    ImageReason,
    MiningExplanations,
    write_explanations,
)
from ymir_detectron2.tasks.closing import (
    class_table,
    describe_threshold,
    log_first_rows,
    log_inference,
    log_mining,
    log_training,
)


def of_class(name: str, ap50: float | None = 0.5, best: Point | None = None) -> ClassEvaluation:
    return ClassEvaluation(name=name, images=1, boxes=12, ap=ap50, ap50=ap50, best=best, precision=[], tp=[], fp=[])


def test_the_columns_of_the_class_table_are_aligned_in_a_terminal():
    """Chinese characters take two columns."""
    best = Point(score_threshold=0.437, tp=9, fp=3, fn=3)
    table = class_table([of_class("cat", 0.9, best), of_class("没戴安全帽", None), of_class("a\nb" + "c" * 99)])
    assert table.splitlines() == [
        "class                           objects  AP50   AP     best threshold  precision  recall",
        "cat                             12       0.900  0.900  0.437           0.750      0.750 ",
        "没戴安全帽                      12       -      -      -               -          -     ",
        "a b" + "c" * 24 + "...  " + "12       0.500  0.500  -               -          -     ",
    ]  # fmt: skip


def test_of_very_many_classes_the_weakest_are_shown():
    table = class_table([of_class(f"class {number}", number / 1000) for number in reversed(range(365))]).splitlines()
    assert len(table) == 42
    assert table[1].startswith("class 0 ")
    assert table[40].startswith("class 39 ")
    assert table[41] == "the 40 with the lowest AP50 of 365 classes; the page of the results has all"


def test_the_threshold_is_told_with_what_it_and_the_default_give(tmp_path: Path):
    evaluation = summarise(random_evaluation(tmp_path, ("cat", "dog"), 8), "iter_7", 7)
    assert evaluation.best is not None
    told = describe_threshold(evaluation)
    assert told.startswith(f"best threshold {evaluation.best.score_threshold:.4g} (highest F1 over all classes): prec")
    assert f"recall {evaluation.best.counts.recall:.3f}; at the default conf_threshold 0.2: " in told
    assert told.endswith(f"recall {evaluation.default.counts.recall:.3f}")
    assert describe_threshold(evaluation.model_copy(update={"best": None})).startswith("no detection of the best stage")


def messages(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [line for message in caplog.messages for line in message.splitlines()]


@pytest.mark.parametrize("has_all", [True, False], ids=["all extras", "no extra"])
def test_a_training_ends_with_what_came_out_and_how_to_look_at_it(
    ymir_tree: MakeTree, tmp_path: Path, caplog: pytest.LogCaptureFixture, has_all: bool
):
    task = load_task(ymir_tree().env_file)
    evaluation = summarise(random_evaluation(tmp_path, ("cat", "dog"), 8), "iter_7", 7) if has_all else None
    files = ("iter_7.pth", "config.yaml", *["iter_7.onnx"] * has_all)
    page = task.output_dir / "report.html"
    with caplog.at_level(logging.INFO):
        log_training(task, Stage("iter_7", files, 0.5), evaluation, page if has_all else None)
    lines = messages(caplog)
    assert f"best stage: {task.models_dir / 'iter_7.pth'}" in lines
    assert f"curves: tensorboard --logdir {task.tensorboard_dir}" in lines
    assert (f"its ONNX model: {task.models_dir / 'iter_7.onnx'}" in lines) == has_all
    assert (f"page of the results, for a browser: {page}" in lines) == has_all
    assert ("classes of the best stage iter_7, on 8 validation images:" in lines) == has_all


def test_an_inference_ends_with_its_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    result = tmp_path / "infer-result.json"
    with caplog.at_level(logging.INFO):
        log_inference(result, {"cat": 3, "dog": 40}, images=20, empty_images=2)
    assert caplog.messages == ["43 boxes in 20 images, of which 2 have none: dog 40, cat 3", f"result: {result}"]


def test_the_counts_of_very_many_classes_are_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    counts = {f"c{number}": number + 1 for number in range(60)}
    with caplog.at_level(logging.INFO):
        log_inference(tmp_path, counts, images=20, empty_images=0)
    assert caplog.messages[0].endswith(", c20 21 and 20 more classes")


def test_a_mining_ends_with_its_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        log_mining(tmp_path / "result.tsv", [0.25, -1.5, 0.75], unreadable=0)
        log_mining(tmp_path / "result.tsv", [], unreadable=2)
    told, result, nothing, _ = caplog.messages
    assert told == "3 images are ranked, the most informative first: scores from 0.75 to -1.5"
    assert result == f"result: {tmp_path / 'result.tsv'}"
    assert nothing.endswith("; 2 that cannot be read come last")


def test_the_first_rows_are_aligned_and_say_why(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Chinese characters take two columns."""
    result = tmp_path / "result.tsv"
    write_mining_result(result, [("/in/a.jpg", 0.8131), ("/in/主板.jpg", 0.5)])
    box = BoxReason(xyxy=(0, 0, 9, 9), class_name="spur", score=0.41, value=0.98)
    reason = ImageReason(asset="/in/a.jpg", score=0.8131, facts=[("entropy", 0.98)], boxes=[box])
    write_explanations(tmp_path / FILE_NAME, MiningExplanations(algorithm="entropy", images=[reason]))
    with caplog.at_level(logging.INFO):
        log_first_rows(result)
    assert messages(caplog) == [
        "worth labelling first:",
        "1  a.jpg     0.8131  1 x spur 0.41",
        "2  主板.jpg  0.5",
    ]


def test_a_ranking_without_an_image_has_no_first_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_mining_result(tmp_path / "result.tsv", [])
    with caplog.at_level(logging.INFO):
        log_first_rows(tmp_path / "result.tsv")
    assert caplog.messages == []
