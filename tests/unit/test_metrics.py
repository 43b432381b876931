"""COCO metrics on sets small enough to work out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.matching import Counts
from ymir_detectron2.evaluation.metrics import Metrics, evaluate

NAMES = ("cat", "dog")
BOX = (10.0, 20.0, 20.0, 30.0)


def image(*objects: tuple[int, tuple[float, ...]]) -> Record:
    boxes = np.array([box for _, box in objects], dtype=np.float32).reshape(-1, 4)
    return Record(Path("/a b/ü.jpg"), 100, 80, boxes, np.array([class_id for class_id, _ in objects], dtype=np.int32))


def detections(*rows: tuple[int, float, tuple[float, ...]]) -> Detections:
    """From (class, score, box)."""
    return Detections(
        np.array([box for _, _, box in rows], dtype=np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], dtype=np.float32),
        np.array([class_id for class_id, _, _ in rows], dtype=np.int64),
    )


def measure(tmp_path: Path, images: list[Record], predictions: dict[int, Detections]) -> Metrics:
    write_coco_json(tmp_path / "val.json", images, NAMES)
    return evaluate(tmp_path / "val.json", predictions, NAMES).metrics


def test_all_objects_detected_is_one(tmp_path: Path):
    measured = measure(tmp_path, [image((0, BOX), (1, BOX))], {1: detections((0, 0.9, BOX), (1, 0.3, BOX))})
    assert (measured.ap, measured.ap50, measured.ap75, measured.ar100) == pytest.approx((1, 1, 1, 1))
    assert measured.ap_by_class == pytest.approx({"cat": 1, "dog": 1})


@pytest.mark.parametrize(
    ("images", "predictions"),
    [
        pytest.param([image((0, BOX))], {1: detections()}, id="no prediction"),
        pytest.param([image((0, BOX))], {}, id="no image evaluated"),
        pytest.param([image()], {1: detections((0, 0.9, BOX))}, id="no labelled object"),
        pytest.param([image()], {1: detections()}, id="nothing at all"),
        pytest.param([image((0, BOX))], {1: detections((1, 0.9, BOX))}, id="wrong class"),
        pytest.param([image((0, BOX))], {1: detections((0, 0.9, (40, 40, 50, 50)))}, id="wrong place"),
    ],
)
def test_no_true_positive_is_zero_and_no_error(tmp_path: Path, images: list[Record], predictions: dict):
    measured = measure(tmp_path, images, predictions)
    assert (measured.ap, measured.ap50, measured.ap75, measured.ar100) == (0, 0, 0, 0)
    assert (measured.ar1, measured.ar10, measured.at_best_f1) == (0, 0, None)
    assert measured.ap_small in (0, None)
    assert (measured.ap_medium, measured.ap_large) == (None, None)
    assert measured.at_threshold is not None
    assert measured.at_threshold.counts.f1 == 0


def test_the_mean_is_over_classes_with_labelled_objects(tmp_path: Path):
    one_of_two = measure(tmp_path, [image((0, BOX), (1, BOX))], {1: detections((0, 0.9, BOX))})
    assert one_of_two.ap50 == pytest.approx(0.5)
    assert one_of_two.ap50_by_class == pytest.approx({"cat": 1, "dog": 0})
    one_of_one = measure(tmp_path, [image((0, BOX))], {1: detections((0, 0.9, BOX))})
    assert one_of_one.ap50 == pytest.approx(1)
    assert one_of_one.ap_by_class == pytest.approx({"cat": 1})


def test_overlap_decides_at_how_many_thresholds_a_box_counts(tmp_path: Path):
    """6.2 of 10 rows: IoU 0.62, at or above 0.50, 0.55 and 0.60, three of COCO's ten thresholds."""
    measured = measure(tmp_path, [image((0, BOX))], {1: detections((0, 0.9, (10, 20, 20, 26.2)))})
    assert (measured.ap, measured.ap50, measured.ap75, measured.ar100) == pytest.approx((0.3, 1, 0, 0.3))


def test_the_objects_of_an_image_that_was_not_evaluated_are_no_false_negatives(tmp_path: Path):
    measured = measure(tmp_path, [image((0, BOX)), image((0, BOX))], {2: detections((0, 0.9, BOX))})
    assert measured.ap50 == pytest.approx(1)


def test_a_false_positive_above_the_true_one_halves_the_precision(tmp_path: Path):
    measured = measure(tmp_path, [image((0, BOX))], {1: detections((0, 0.9, (60, 60, 70, 70)), (0, 0.5, BOX))})
    assert measured.ap50 == pytest.approx(0.5)


def test_sizes_are_those_of_coco_and_one_without_objects_has_no_ap(tmp_path: Path):
    """10 x 10 is detected, 40 x 40 is not, nothing is as large as 96 x 96."""
    measured = measure(tmp_path, [image((0, BOX), (0, (40, 20, 80, 60)))], {1: detections((0, 0.9, BOX))})
    assert (measured.ap_small, measured.ap_medium, measured.ap_large) == (pytest.approx(1), 0, None)


def test_recall_with_one_ten_and_a_hundred_detections_per_image(tmp_path: Path):
    """Twelve objects, all of them detected."""
    boxes = [(8.0 * i, 0.0, 8.0 * i + 6, 6.0) for i in range(12)]
    measured = measure(
        tmp_path,
        [image(*((0, box) for box in boxes))],
        {1: detections(*((0, 0.9 - i / 100, box) for i, box in enumerate(boxes)))},
    )
    assert (measured.ar1, measured.ar10, measured.ar100) == pytest.approx((1 / 12, 10 / 12, 1))


def test_boxes_are_counted_at_the_threshold_of_the_form_and_at_the_best(tmp_path: Path):
    """cat: tp with 0.9, fp with 0.3. dog: fn, for 0.19 is below 0.2; owl: neither labelled nor detected."""
    predictions = {1: detections((0, 0.9, BOX), (0, 0.3, (60, 60, 70, 70)), (1, 0.19, BOX))}
    write_coco_json(tmp_path / "val.json", [image((0, BOX), (1, BOX))], ("cat", "dog", "owl"))
    measured = evaluate(tmp_path / "val.json", predictions, ("cat", "dog", "owl")).metrics
    assert measured.counts_by_class == {"cat": Counts(1, 1, 0), "dog": Counts(0, 0, 1), "owl": Counts(0, 0, 0)}
    assert measured.at_threshold == (0.2, Counts(1, 1, 1))
    assert measured.at_best_f1 == (pytest.approx(0.09), Counts(2, 1, 0))  # F1 0.8; above 0.3 it is 2 / 3
    higher = evaluate(tmp_path / "val.json", predictions, ("cat", "dog", "owl"), score_threshold=0.5).metrics
    assert higher.at_threshold == (0.5, Counts(1, 0, 1))


def test_an_evaluation_holds_what_is_plotted(tmp_path: Path):
    write_coco_json(tmp_path / "val.json", [image((1, BOX)), image(), image((0, BOX), (1, BOX))], NAMES)
    first, third = detections((1, 0.9, BOX)), detections((0, 0.5, BOX), (1, 0.4, (60, 60, 70, 70)))
    evaluation = evaluate(tmp_path / "val.json", {3: third, 1: first}, NAMES)
    assert evaluation.class_names == NAMES
    assert [image.path for image in evaluation.images] == ["/a b/ü.jpg"] * 2
    assert [image.gt_classes.tolist() for image in evaluation.images] == [[1], [0, 1]]
    assert evaluation.images[0].gt_boxes.tolist() == [list(BOX)]
    assert evaluation.images[1].pred_scores == pytest.approx([0.5, 0.4])
    assert evaluation.matches.gt_index.tolist() == [0, 0, -1]
    assert evaluation.metrics == evaluate(tmp_path / "val.json", {1: first, 3: third}, NAMES).metrics


def test_a_score_that_is_not_a_number_is_no_detection_for_ap(tmp_path: Path):
    rows = [(0, 0.9, BOX), (0, float("nan"), (60, 60, 70, 70))]
    measured = measure(tmp_path, [image((0, BOX))], {1: detections(*rows)})
    assert (measured.ap, measured.ap50) == pytest.approx((1, 1))
    assert measure(tmp_path, [image((0, BOX))], {1: detections((0, float("nan"), BOX))}).ap == 0
