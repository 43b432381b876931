"""A stage in result.yaml with its counts, curves and the evaluation of the best one; what fails costs no model."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.platform_reader import read_training_result
from ymir_detectron2.contract.training_result import TrainingResult
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.evaluation_file import evaluation_path, read_evaluation
from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.metrics import Evaluation, evaluate
from ymir_detectron2.evaluation.report import FILE_NAMES
from ymir_detectron2.evaluation.training_history import read_training_history
from ymir_detectron2.tasks.stages import add_stage
from ymir_detectron2.training.job import StageWeights

TAGS = tuple(f"evaluation/{Path(name).stem}" for name in FILE_NAMES)
"""Of the plots; the validation image of these tests is gone."""
BOX, FAR = (10.0, 10.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Two objects of one class: a true positive, a false negative, and a false positive. The image file is gone."""
    file = tmp_path_factory.mktemp("set") / "val.json"
    boxes = np.array([BOX, FAR], dtype=np.float32)
    write_coco_json(file, [Record(Path("gone.jpg"), 100, 100, boxes, np.zeros(2, np.int64))], ("cat",))
    boxes_xyxy = np.array([BOX, (0.0, 0.0, 5.0, 5.0)], dtype=np.float32)
    return evaluate(file, {1: Detections(boxes_xyxy, np.array([0.9, 0.8]), np.zeros(2, np.int64))}, ("cat",))


def result_in(folder: Path, *, writes_stages: bool = True) -> TrainingResult:
    record = folder / "unfinished" / "stages.json"
    return TrainingResult(folder, folder / "result.yaml", writes_stages=writes_stages, record=record)


def offer(result: TrainingResult, folder: Path, step: int, evaluation: Evaluation | None, score: float):
    (folder / f"{step}.pth").write_bytes(b"weights")
    losses = {"loss_cls": LossCurve([1, 2], [1.0, 0.5])}
    weights = StageWeights(f"iter_{step}", (f"{step}.pth",), evaluation, score, losses, {}, {}, step)
    return add_stage(result, weights, folder / "training-history.json", lambda path: f"/in/{path}")


def test_counts_are_whole_numbers_next_to_their_thresholds(
    tmp_path: Path, evaluation: Evaluation
):
    offer(result_in(tmp_path), tmp_path, 1, evaluation, 0.5)
    written = yaml.safe_load((tmp_path / "result.yaml").read_text())
    stage = written["model_stages"]["iter_1"]
    assert [stage[name] for name in ("tp", "fp", "fn")] == [1, 1, 1]
    assert all(type(stage[name]) is int for name in ("tp", "fp", "fn"))
    assert {type(stage[name]) for name in ("mAP", "mAR", "boxAP")} == {float}
    assert written["evaluate_config"] == {"iou_thr": 0.5, "conf_thr": 0.2, "best_conf_thr": 0.85}
    point = evaluation.metrics.at_threshold
    assert point is not None
    assert point.score_threshold == 0.2, "where they were counted"


def test_the_best_stage_gets_plots_and_a_worse_one_keeps_them(tmp_path: Path, evaluation: Evaluation):
    result = result_in(tmp_path)
    plots = offer(result, tmp_path, 1, evaluation, 0.5)
    assert tuple(plots) == TAGS
    assert all(png.startswith(b"\x89PNG") for png in plots.values())
    assert offer(result, tmp_path, 2, evaluation, 0.1) == {}
    packed = read_training_result(tmp_path)
    assert packed.attachments == {"evaluation": ("evaluation.json", *FILE_NAMES)}
    assert packed.evaluate_config["best_conf_thr"] == 0.85
    assert (tmp_path / "attachments" / "evaluation" / FILE_NAMES[0]).read_bytes() == plots[TAGS[0]]


def test_a_missing_plot_is_not_listed_and_a_new_process_lists_the_others(
    tmp_path: Path, evaluation: Evaluation
):
    offer(result_in(tmp_path), tmp_path, 1, evaluation, 0.5)
    (tmp_path / "attachments" / "evaluation" / FILE_NAMES[1]).unlink()
    again = result_in(tmp_path)
    again.restore()
    assert read_training_result(tmp_path).attachments == {
        "evaluation": ("evaluation.json", FILE_NAMES[0], *FILE_NAMES[2:])
    }


def test_releases_without_attachments_get_the_files_and_no_list_of_them(tmp_path: Path, evaluation: Evaluation):
    plots = offer(result_in(tmp_path, writes_stages=False), tmp_path, 1, evaluation, 0.5)
    assert tuple(plots) == TAGS, "TensorBoard shows them all the same"
    assert set(yaml.safe_load((tmp_path / "result.yaml").read_text())) == {"model", "map"}
    assert read_evaluation(tmp_path) is not None, "for report.html"


def test_plots_that_cannot_be_written_cost_no_model_and_those_of_an_earlier_stage_are_not_listed(
    tmp_path: Path, evaluation: Evaluation, caplog: pytest.LogCaptureFixture
):
    result = result_in(tmp_path)
    offer(result, tmp_path, 1, evaluation, 0.5)
    (tmp_path / "attachments").rename(tmp_path / "moved")
    (tmp_path / "attachments").write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING):
        offer(result, tmp_path, 2, evaluation, 0.6)
    assert "the plots of iter_2 are left out" in caplog.text
    assert "the evaluation file of iter_2 is left out" in caplog.text
    (tmp_path / "attachments").unlink()
    (tmp_path / "moved").rename(tmp_path / "attachments")
    offer(result, tmp_path, 3, None, 0.0)
    packed = read_training_result(tmp_path)
    assert (packed.best_stage_name, packed.attachments) == ("iter_2", {})


def test_plots_are_removed_when_their_stage_is_evaluated_again_and_is_no_longer_the_best(
    tmp_path: Path, evaluation: Evaluation
):
    result = result_in(tmp_path)
    offer(result, tmp_path, 1, evaluation, 0.5)
    offer(result, tmp_path, 2, evaluation, 0.6)
    offer(result, tmp_path, 2, evaluation, 0.4)
    packed = read_training_result(tmp_path)
    assert (packed.best_stage_name, packed.attachments) == ("iter_1", {})


def test_a_further_file_is_packed_only_with_its_stage(tmp_path: Path, evaluation: Evaluation):
    result = result_in(tmp_path)
    offer(result, tmp_path, 1, None, 0.0)
    offer(result, tmp_path, 2, evaluation, 0.5)
    (tmp_path / "iter_2.onnx").write_bytes(b"graph")
    result.add_file("iter_2", "iter_2.onnx")
    stages = read_training_result(tmp_path).stages
    assert {name: sorted(stage.files) for name, stage in stages.items()} == {"iter_2": ["2.pth", "iter_2.onnx"]}
    again = result_in(tmp_path)
    again.restore()
    assert again.stages == result.stages


def test_the_best_stage_has_its_evaluation_in_a_file_that_names_images_as_the_index_does(
    tmp_path: Path, evaluation: Evaluation
):
    result = result_in(tmp_path)
    offer(result, tmp_path, 1, evaluation, 0.5)
    written = read_evaluation(tmp_path, "iter_1")
    assert written is not None
    assert (written.step, written.examples[0].image) == (1, "/in/gone.jpg")
    assert written.best_thresholds == {"all": 0.85, "by_class": {"cat": 0.85}}
    offer(result, tmp_path, 2, evaluation, 0.1)
    assert read_evaluation(tmp_path, "iter_1") == written, "a worse stage changes nothing"
    offer(result, tmp_path, 3, evaluation, 0.6)
    assert read_evaluation(tmp_path, "iter_1") is None
    assert read_evaluation(tmp_path, "iter_3") is not None


def test_a_stage_that_is_evaluated_again_gives_the_same_bytes(tmp_path: Path, evaluation: Evaluation):
    """As after a kill between the list of stages and the checkpoint."""
    files = (evaluation_path(tmp_path), tmp_path / "training-history.json")
    offer(result_in(tmp_path), tmp_path, 1, evaluation, 0.5)
    before = [file.read_bytes() for file in files]
    again = result_in(tmp_path)
    again.restore()
    offer(again, tmp_path, 1, evaluation, 0.5)
    assert [file.read_bytes() for file in files] == before
    assert read_training_result(tmp_path).attachments == {"evaluation": ("evaluation.json", *FILE_NAMES)}


def test_every_stage_writes_the_curves_so_far(tmp_path: Path, evaluation: Evaluation):
    result = result_in(tmp_path)
    offer(result, tmp_path, 1, evaluation, 0.5)
    offer(result, tmp_path, 2, None, 0.0)
    history = read_training_history(tmp_path)
    assert history is not None
    assert history.step == 2
    assert history.training_losses["loss_cls"].values == [1.0, 0.5]


def test_curves_that_cannot_be_written_cost_no_model(
    tmp_path: Path, evaluation: Evaluation, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "training-history.json").mkdir()
    with caplog.at_level(logging.WARNING):
        plots = offer(result_in(tmp_path), tmp_path, 1, evaluation, 0.5)
    assert "the history of iter_1 is left out: StorageError" in caplog.text
    assert tuple(plots) == TAGS
