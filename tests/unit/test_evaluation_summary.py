"""An evaluation reduced to evaluation.json: exact counts at every threshold, bounded, whatever the set holds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.evaluated_sets import IMAGE_HW, random_evaluation
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.confusion import confusion_matrix
from ymir_detectron2.evaluation.evaluation_file import EvaluationFile
from ymir_detectron2.evaluation.evaluation_summary import CONFUSION_ROWS, EXAMPLES, summarise
from ymir_detectron2.evaluation.matching import UNMATCHED, counts_by_class, match_set
from ymir_detectron2.evaluation.metrics import Evaluation, evaluate

NAMES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return random_evaluation(tmp_path_factory.mktemp("set"), NAMES, 60)


def test_every_threshold_has_the_counts_of_each_class(evaluation: Evaluation):
    file = summarise(evaluation, "iter_7", 7)
    assert set(np.arange(101) / 100) < set(file.thresholds)
    assert [each.name for each in file.classes] == list(NAMES)
    for level, threshold in enumerate(file.thresholds):
        assert [each.at(level) for each in file.classes] == counts_by_class(evaluation.matches, threshold)
        expected = confusion_matrix(evaluation.images, len(NAMES), threshold)
        assert file.confusion_matrix(level).tolist() == expected.tolist()


def test_the_best_threshold_is_one_of_them_for_all_classes_and_exact_for_each(evaluation: Evaluation):
    file, metrics = summarise(evaluation, "iter_7", 7), evaluation.metrics
    assert metrics.at_best_f1 is not None
    assert file.best is not None
    assert file.best_threshold == metrics.at_best_f1.score_threshold
    assert file.best.counts == metrics.at_best_f1.counts
    level = file.thresholds.index(file.best_threshold)
    summed = np.sum([each.at(level) for each in file.classes], axis=0)
    assert tuple(summed) == metrics.at_best_f1.counts
    assert file.best_thresholds == metrics.thresholds
    assert set(file.best_thresholds["by_class"]) == set(NAMES)
    assert [file.default.score_threshold, file.default.counts] == list(metrics.at_threshold or ())


def test_the_figures_are_those_of_the_metrics(evaluation: Evaluation):
    file, metrics = summarise(evaluation, "iter_7", 7), evaluation.metrics
    assert (file.ap, file.ap50, file.ap75, file.ar100) == (metrics.ap, metrics.ap50, metrics.ap75, metrics.ar100)
    assert {each.name: each.ap50 for each in file.classes} == metrics.ap50_by_class
    for each in file.classes:
        assert np.mean(each.precision) == pytest.approx(each.ap50, abs=1e-4)
        assert 0 < each.images <= each.boxes
    assert sum(each.boxes for each in file.classes) == evaluation.matches.gt_counts.sum()


def test_examples_have_what_a_page_draws(evaluation: Evaluation):
    file = summarise(evaluation, "iter_7", 7, lambda path: f"/in/assets/{path}")
    assert len(file.worst) == len(file.typical) == EXAMPLES
    assert [file.examples[index].image for index in file.typical][:: EXAMPLES - 1] == [
        "/in/assets/0.jpg", "/in/assets/59.jpg",
    ]  # fmt: skip
    threshold = file.best_threshold
    for example in file.examples:
        image = evaluation.images[int(Path(example.image).stem)]
        assert (example.height, example.width) == IMAGE_HW
        assert len(example.gt_boxes) == len(image.gt_boxes)
        assert example.pred_scores == sorted(image.pred_scores.tolist(), reverse=True)
        kept = [gt for gt, score in zip(example.pred_gt, example.pred_scores) if score > threshold]
        assert len({*kept} - {UNMATCHED}) == len(kept) - kept.count(UNMATCHED), "each object once"

    def error_score(index: int) -> float:
        example = file.examples[index]
        kept = [(gt, score) for gt, score in zip(example.pred_gt, example.pred_scores) if score > threshold]
        missed = len(example.gt_boxes) - sum(gt != UNMATCHED for gt, _ in kept)
        return missed + sum(score for gt, score in kept if gt == UNMATCHED)

    scores = [error_score(index) for index in file.worst]
    assert scores == sorted(scores, reverse=True)


def test_the_same_evaluation_gives_the_same_bytes_and_they_read_back(tmp_path: Path, evaluation: Evaluation):
    file = summarise(evaluation, "iter_7", 7)
    again = summarise(random_evaluation(tmp_path, NAMES, 60), "iter_7", 7)
    assert file.as_bytes() == again.as_bytes()
    assert EvaluationFile.model_validate_json(file.as_bytes()) == file


@pytest.mark.parametrize("kind", ["no detection", "nothing labelled", "no image", "one image", "one score"])
def test_any_set_has_a_file(tmp_path: Path, kind: str):
    boxes = np.array([[5, 5, 25, 25], [30, 5, 50, 25]], dtype=np.float32)
    labelled = slice(0, 0) if kind in ("nothing labelled", "no image") else slice(0, 1)
    record = Record(tmp_path / "a.jpg", 40, 60, boxes[labelled], np.zeros(2, np.int32)[labelled])
    write_coco_json(tmp_path / "val.json", [record], NAMES)
    found = slice(0, 0) if kind == "no detection" else slice(None)
    scores = np.array([0.5, 0.5 if kind == "one score" else 0.25], dtype=np.float32)
    detections = Detections(boxes[found], scores[found], np.zeros(2, np.int64)[found])
    evaluation = evaluate(tmp_path / "val.json", {} if kind == "no image" else {1: detections}, NAMES)
    file = summarise(evaluation, "iter_1", 1)
    expected = {
        "no detection": (None, 0.2, {}), "nothing labelled": (None, 0.2, {}), "no image": (None, 0.2, {}),
        "one image": (0.38, 0.38, {"cat": 0.38}), "one score": (0.25, 0.25, {"cat": 0.25}),
    }[kind]  # fmt: skip
    assert (file.best_thresholds["all"], file.best_threshold, file.best_thresholds["by_class"]) == expected
    assert len(file.examples) == (0 if kind == "no image" else 1)
    assert EvaluationFile.model_validate_json(file.as_bytes()) == file
    owl = file.classes[2]
    assert (owl.boxes, owl.ap50, owl.best, owl.precision) == (0, None, None, []), "a class without ground truth"


def test_a_detection_without_a_place_or_score_is_left_out(tmp_path: Path):
    evaluation = random_evaluation(tmp_path, NAMES, 1, objects=5, extra=3)
    (image,) = evaluation.images
    image.pred_scores[0], image.pred_boxes[1, 2] = np.nan, np.inf
    images = (image,)
    damaged = evaluation._replace(images=images, matches=match_set(images, len(NAMES)))
    file = summarise(damaged, "iter_1", 1)
    assert len(file.examples[0].pred_scores) == len(image.pred_scores) - 2
    assert EvaluationFile.model_validate_json(file.as_bytes()) == file


def test_names_that_are_no_text_are_escaped(tmp_path: Path):
    evaluation = random_evaluation(tmp_path, NAMES, 1, image="/data/\udcff{}.jpg")
    assert summarise(evaluation, "iter_1", 1).examples[0].image == "/data/\\udcff0.jpg"


def test_the_file_is_bounded_with_a_thousand_classes_and_many_boxes(tmp_path: Path):
    names = [f"class {number}" for number in range(1000)]
    evaluation = random_evaluation(tmp_path, names, 400, objects=40, extra=60)
    started_s = time.process_time()
    content = summarise(evaluation, "iter_1", 1).as_bytes()
    assert time.process_time() - started_s < 60, "nothing in it grows with images times classes"
    assert len(content) < 4_000_000
    file = EvaluationFile.model_validate_json(content)
    assert len(file.confusion.classes) == CONFUSION_ROWS
    assert file.confusion.has_others
    level = file.thresholds.index(file.best_threshold)
    matrix = confusion_matrix(evaluation.images, 1000, file.best_threshold)
    assert file.confusion_matrix(level).sum() == matrix.sum()
    assert file.confusion_matrix(level)[0, -1] == matrix[file.confusion.classes[0], -1]


def test_a_crowded_image_is_cut_off_and_says_so(tmp_path: Path):
    evaluation = random_evaluation(tmp_path, NAMES, 1, objects=900, extra=900, seed=1)
    example = summarise(evaluation, "iter_1", 1).examples[0]
    image = evaluation.images[0]
    assert len(example.gt_boxes) <= 300
    assert len(example.pred_boxes) == 300
    assert example.omitted == len(image.gt_boxes) + len(image.pred_boxes) - len(example.gt_boxes) - 300
