"""COCO metrics on sets small enough to work out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ymir_detectron2.dataset.coco_json import load_coco_json, write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.evaluation import metrics
from ymir_detectron2.evaluation.matching import Counts
from ymir_detectron2.evaluation.metrics import ImageResult, Metrics, evaluate

NAMES = ("cat", "dog")
BOX = (10.0, 20.0, 20.0, 30.0)


def picture(*objects: tuple[int, tuple[float, ...]]) -> Record:
    boxes = np.array([box for _, box in objects], dtype=np.float32).reshape(-1, 4)
    return Record(Path("/a b/ü.jpg"), 100, 80, boxes, np.array([class_id for class_id, _ in objects], dtype=np.int32))


def result(image_id: int, *found: tuple[int, float, tuple[float, ...]]) -> ImageResult:
    return ImageResult(
        image_id,
        np.array([box for _, _, box in found], dtype=np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], dtype=np.float32),
        np.array([class_id for class_id, _, _ in found], dtype=np.int64),
    )


def measure(tmp_path: Path, pictures: list[Record], results: list[ImageResult]) -> Metrics:
    write_coco_json(tmp_path / "val.json", pictures, NAMES)
    return evaluate(tmp_path / "val.json", results, NAMES).metrics


def test_everything_found_is_one(tmp_path: Path):
    found = measure(tmp_path, [picture((0, BOX), (1, BOX))], [result(1, (0, 0.9, BOX), (1, 0.3, BOX))])
    assert (found.ap, found.ap50, found.ap75, found.ar100) == pytest.approx((1, 1, 1, 1))
    assert found.ap_by_class == pytest.approx({"cat": 1, "dog": 1})


@pytest.mark.parametrize(
    ("pictures", "results"),
    [
        pytest.param([picture((0, BOX))], [result(1)], id="no prediction"),
        pytest.param([picture((0, BOX))], [], id="no picture judged"),
        pytest.param([picture()], [result(1, (0, 0.9, BOX))], id="no labelled object"),
        pytest.param([picture()], [result(1)], id="nothing at all"),
        pytest.param([picture((0, BOX))], [result(1, (1, 0.9, BOX))], id="wrong class"),
        pytest.param([picture((0, BOX))], [result(1, (0, 0.9, (40, 40, 50, 50)))], id="wrong place"),
    ],
)
def test_nothing_found_is_zero_and_no_error(tmp_path: Path, pictures: list[Record], results: list[ImageResult]):
    found = measure(tmp_path, pictures, results)
    assert (found.ap, found.ap50, found.ap75, found.ar100) == (0, 0, 0, 0)
    assert (found.ar1, found.ar10, found.at_best_f1) == (0, 0, None)
    assert found.ap_small in (0, None)
    assert (found.ap_medium, found.ap_large) == (None, None)
    assert found.at_threshold is not None
    assert found.at_threshold.counts.f1 == 0


def test_the_mean_is_over_classes_with_labelled_objects(tmp_path: Path):
    one_of_two = measure(tmp_path, [picture((0, BOX), (1, BOX))], [result(1, (0, 0.9, BOX))])
    assert one_of_two.ap50 == pytest.approx(0.5)
    assert one_of_two.ap50_by_class == pytest.approx({"cat": 1, "dog": 0})
    one_of_one = measure(tmp_path, [picture((0, BOX))], [result(1, (0, 0.9, BOX))])
    assert one_of_one.ap50 == pytest.approx(1)
    assert one_of_one.ap_by_class == pytest.approx({"cat": 1})


def test_overlap_decides_at_how_many_thresholds_a_box_counts(tmp_path: Path):
    """6.2 of 10 rows: IoU 0.62, at or above 0.50, 0.55 and 0.60, three of COCO's ten thresholds."""
    found = measure(tmp_path, [picture((0, BOX))], [result(1, (0, 0.9, (10, 20, 20, 26.2)))])
    assert (found.ap, found.ap50, found.ap75, found.ar100) == pytest.approx((0.3, 1, 0, 0.3))


def test_a_picture_that_was_not_judged_does_not_count_as_missed(tmp_path: Path):
    found = measure(tmp_path, [picture((0, BOX)), picture((0, BOX))], [result(2, (0, 0.9, BOX))])
    assert found.ap50 == pytest.approx(1)


def test_a_false_box_above_the_true_one_halves_the_precision(tmp_path: Path):
    found = measure(tmp_path, [picture((0, BOX))], [result(1, (0, 0.9, (60, 60, 70, 70)), (0, 0.5, BOX))])
    assert found.ap50 == pytest.approx(0.5)


def test_sizes_are_those_of_coco_and_one_without_objects_has_no_ap(tmp_path: Path):
    """10 x 10 is found, 40 x 40 is not, nothing is as large as 96 x 96."""
    found = measure(tmp_path, [picture((0, BOX), (0, (40, 20, 80, 60)))], [result(1, (0, 0.9, BOX))])
    assert (found.ap_small, found.ap_medium, found.ap_large) == (pytest.approx(1), 0, None)


def test_recall_with_one_ten_and_a_hundred_boxes_per_picture(tmp_path: Path):
    """Twelve objects, all of them found."""
    boxes = [(8.0 * i, 0.0, 8.0 * i + 6, 6.0) for i in range(12)]
    found = measure(
        tmp_path,
        [picture(*((0, box) for box in boxes))],
        [result(1, *((0, 0.9 - i / 100, box) for i, box in enumerate(boxes)))],
    )
    assert (found.ar1, found.ar10, found.ar100) == pytest.approx((1 / 12, 10 / 12, 1))


def test_boxes_are_counted_at_the_threshold_of_the_form_and_at_the_best(tmp_path: Path):
    """cat: right with 0.9, false with 0.3. dog: missed, for 0.19 is below 0.2; owl: neither there nor found."""
    results = [result(1, (0, 0.9, BOX), (0, 0.3, (60, 60, 70, 70)), (1, 0.19, BOX))]
    write_coco_json(tmp_path / "val.json", [picture((0, BOX), (1, BOX))], ("cat", "dog", "owl"))
    found = evaluate(tmp_path / "val.json", results, ("cat", "dog", "owl")).metrics
    assert found.counts_by_class == {"cat": Counts(1, 1, 0), "dog": Counts(0, 0, 1), "owl": Counts(0, 0, 0)}
    assert found.at_threshold == (0.2, Counts(1, 1, 1))
    assert found.at_best_f1 == (pytest.approx(0.09), Counts(2, 1, 0))  # F1 0.8; above 0.3 it is 2 / 3
    higher = evaluate(tmp_path / "val.json", results, ("cat", "dog", "owl"), score_threshold=0.5).metrics
    assert higher.at_threshold == (0.5, Counts(1, 0, 1))


def test_an_evaluation_brings_what_pictures_of_it_need(tmp_path: Path):
    write_coco_json(tmp_path / "val.json", [picture((1, BOX)), picture(), picture((0, BOX), (1, BOX))], NAMES)
    third = result(3, (0, 0.5, BOX), (1, 0.4, (60, 60, 70, 70)))
    evaluation = evaluate(tmp_path / "val.json", [third, result(1, (1, 0.9, BOX))], NAMES)
    assert evaluation.class_names == NAMES
    assert [judged.path for judged in evaluation.pictures] == ["/a b/ü.jpg"] * 2
    assert [judged.truth_classes.tolist() for judged in evaluation.pictures] == [[1], [0, 1]]
    assert evaluation.pictures[0].truth_boxes.tolist() == [list(BOX)]
    assert evaluation.pictures[1].found_scores == pytest.approx([0.5, 0.4])
    assert evaluation.matches.objects.tolist() == [0, 0, -1]
    assert evaluation.metrics == evaluate(tmp_path / "val.json", [result(1, (1, 0.9, BOX)), third], NAMES).metrics


def test_the_figures_are_those_of_pycocotools_and_do_not_depend_on_how_many_classes_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """COCO's own summary of a set with all sizes; with three boxes at once each class goes alone."""
    random = np.random.default_rng(11)
    names = ("cat", "dog", "owl", "never seen")
    pictures, results = [], []
    for number in range(1, 31):
        corners = random.uniform(0, 300, (6, 2))
        boxes = np.concatenate([corners, corners + random.choice([20, 60, 150], (6, 1))], axis=1)
        classes = random.integers(0, 3, 6)
        pictures.append(picture(*zip(classes.tolist(), map(tuple, boxes))))
        found = np.concatenate([boxes, boxes]) + random.normal(0, 3, (12, 4))
        rows = zip(np.concatenate([classes, classes[::-1]]).tolist(), random.random(12).tolist(), map(tuple, found))
        results.append(result(number, *rows))
    write_coco_json(tmp_path / "val.json", pictures, names)
    at_once = evaluate(tmp_path / "val.json", results, names).metrics
    monkeypatch.setattr(metrics, "_BOXES_AT_ONCE", 3)
    assert evaluate(tmp_path / "val.json", results, names).metrics == at_once
    coco = coco_of(tmp_path / "val.json", results)
    mine = (
        at_once.ap, at_once.ap50, at_once.ap75, at_once.ap_small, at_once.ap_medium, at_once.ap_large,
        at_once.ar1, at_once.ar10, at_once.ar100,
    )  # fmt: skip
    assert mine == pytest.approx(coco.stats[:9].tolist(), abs=1e-12)
    right, found = counts_in(coco, 0.2)
    assert at_once.at_threshold is not None
    assert at_once.at_threshold.counts == Counts(right, found - right, 30 * 6 - right)


def coco_of(file: Path, results: list[ImageResult]) -> COCOeval:
    """As its manual says: predictions loaded by `loadRes`, all classes together."""
    truth = COCO(str(file))
    rows = [
        {
            "image_id": found.image_id, "category_id": int(class_id) + 1, "score": float(score),
            "bbox": [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)],
        }
        for found in results
        for (x1, y1, x2, y2), score, class_id in zip(found.boxes_xyxy, found.scores, found.classes)
    ]  # fmt: skip
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def counts_in(evaluation: COCOeval, score_threshold: float) -> tuple[int, int]:
    """Boxes that COCO gave an object at IoU 0.5, and all boxes, above a threshold."""
    everything = [part for part in evaluation.evalImgs if part and part["aRng"] == [0, 1e10]]
    scores = np.concatenate([part["dtScores"] for part in everything])
    right = np.concatenate([part["dtMatches"][0] > 0 for part in everything])
    return int(right[scores > score_threshold].sum()), int((scores > score_threshold).sum())


def test_coco_json_comes_back_as_it_was_written(tmp_path: Path):
    pictures = [picture(), picture((1, (0, 0, 33.5, 7)), (0, BOX)), picture((0, BOX)), picture()]
    write_coco_json(tmp_path / "a.json", pictures, NAMES)
    found = load_coco_json(tmp_path / "a.json")
    assert found.class_names == NAMES
    assert found.image_paths == ("/a b/ü.jpg",) * 4
    assert found.image_hw.tolist() == [[80, 100]] * 4
    for index, record in enumerate(pictures):
        boxes, classes = found.objects(index)
        np.testing.assert_array_equal(boxes, record.boxes_xyxy)
        np.testing.assert_array_equal(classes, record.classes)


def test_a_set_without_pictures_comes_back(tmp_path: Path):
    write_coco_json(tmp_path / "a.json", [], NAMES)
    assert len(load_coco_json(tmp_path / "a.json")) == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [], "annotations": [{}]}'])
def test_another_json_file_is_refused(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match="is not the COCO file"):
        load_coco_json(tmp_path / "a.json")
