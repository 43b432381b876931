"""Labels that a model contradicts: each kind of error is found, named, and stands before what is right."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import pytest

from tests.evaluated_images import evaluated_image
from tests.reviewed_sets import reviewed_images, with_labels
from ymir_detectron2.box_geometry import pairwise_iou
from ymir_detectron2.evaluation.label_review import (
    DUPLICATE,
    LIKELY_WRONG,
    LOOSE,
    MISSING,
    SPURIOUS,
    WRONG_CLASS,
    Suspicion,
    review_labels,
)
from ymir_detectron2.evaluation.matching import EvaluatedImage

WHERE = 5  # the image whose labels are changed


def review(images: Sequence[EvaluatedImage], num_classes: int = 3) -> list[Suspicion]:
    return review_labels({"training": images}, num_classes)


def confident_label(image: EvaluatedImage) -> int:
    """A label of an image that the model supports without doubt."""
    iou = pairwise_iou(image.gt_boxes, image.pred_boxes)
    is_same = image.gt_classes[:, None] == image.pred_classes
    return int((iou * image.pred_scores * is_same).max(axis=1).argmax())


def changed(images: list[EvaluatedImage], boxes: np.ndarray, classes: np.ndarray) -> list[EvaluatedImage]:
    return [with_labels(image, boxes, classes) if number == WHERE else image for number, image in enumerate(images)]


@pytest.fixture
def images() -> list[EvaluatedImage]:
    return reviewed_images(60)


def test_a_label_that_was_removed_is_missing_where_it_was(images: list[EvaluatedImage]):
    image = images[WHERE]
    label = confident_label(image)
    kept = np.arange(len(image.gt_boxes)) != label
    first = review(changed(images, image.gt_boxes[kept], image.gt_classes[kept]))[0]
    assert (first.kind, first.image, first.box_xyxy, first.class_id) == (MISSING, WHERE, None, None)
    assert first.suggested_class_id == image.gt_classes[label]
    assert pairwise_iou(np.array([first.suggested_box_xyxy]), image.gt_boxes[[label]])[0, 0] > 0.7
    assert first.score > LIKELY_WRONG


def test_a_label_of_another_class_is_first_with_its_true_class(images: list[EvaluatedImage]):
    image = images[WHERE]
    label = confident_label(image)
    classes = image.gt_classes.copy()
    classes[label] = (classes[label] + 1) % 3
    first = review(changed(images, image.gt_boxes, classes))[0]
    assert (first.kind, first.image, first.class_id) == (WRONG_CLASS, WHERE, classes[label])
    assert first.box_xyxy == tuple(image.gt_boxes[label])
    assert first.suggested_class_id == image.gt_classes[label]
    assert first.score > LIKELY_WRONG


def test_a_label_that_was_moved_is_loose_with_the_box_that_fits():
    images = reviewed_images(60, missed=0.0, false=0.0)  # a model that errs in nothing else
    image = images[WHERE]
    label = confident_label(image)
    boxes = image.gt_boxes.copy()
    boxes[label] += 0.35 * np.tile(boxes[label, 2:] - boxes[label, :2], 2) * [1, 0, 1, 0]  # IoU 0.65 / 1.35 = 0.48
    (only,) = review(changed(images, boxes, image.gt_classes))
    assert (only.kind, only.image, only.box_xyxy) == (LOOSE, WHERE, tuple(boxes[label]))
    assert pairwise_iou(np.array([only.suggested_box_xyxy]), image.gt_boxes[[label]])[0, 0] > 0.7


def test_a_label_where_nothing_is_is_spurious_and_suggests_nothing(images: list[EvaluatedImage]):
    image = images[WHERE]
    boxes = np.concatenate([image.gt_boxes, [[210.0, 165.0, 240.0, 190.0]]])
    first = review(changed(images, boxes, np.append(image.gt_classes, 1)))[0]
    assert (first.kind, first.image, first.box_xyxy) == (SPURIOUS, WHERE, tuple(boxes[-1]))
    assert (first.suggested_box_xyxy, first.suggested_class_id) == (None, None)


def test_a_label_that_another_one_covers_is_a_duplicate(images: list[EvaluatedImage]):
    image = images[WHERE]
    boxes = np.concatenate([image.gt_boxes, image.gt_boxes[:1] + 0.5])
    found = [one for one in review(changed(images, boxes, np.append(image.gt_classes, image.gt_classes[0])))
             if one.kind == DUPLICATE]  # fmt: skip
    (one,) = found
    assert one.image == WHERE
    assert {one.box_xyxy, one.suggested_box_xyxy} == {tuple(boxes[0]), tuple(boxes[-1])}


def test_right_labels_are_not_called_wrong(images: list[EvaluatedImage]):
    """The detector misses one object in twenty, and these labels are right."""
    labels = sum(len(image.gt_classes) for image in images)
    assert sum(one.score >= LIKELY_WRONG for one in review(images)) < 0.02 * labels


def test_of_a_twentieth_wrong_labels_most_are_in_the_first_tenth():
    images, wrong = reviewed_images(200, seed=3), set()
    random = np.random.default_rng(4)
    for number in random.permutation([number for number in range(200) if number % 4 != 3])[:45].tolist():
        image = images[number]
        boxes, classes = image.gt_boxes.copy(), image.gt_classes.copy()
        label = int(random.integers(len(boxes)))
        if number % 2:
            classes[label] = (classes[label] + 1) % 3
        else:
            boxes[label] += 0.4 * (boxes[label, 2] - boxes[label, 0]) * np.array([1, 0, 1, 0])
        images[number] = with_labels(image, boxes, classes)
        wrong.add((number, tuple(boxes[label])))
    labels = sum(len(image.gt_classes) for image in images)
    assert len(wrong) == labels // 20
    found = {(one.image, one.box_xyxy) for one in review(images)[: labels // 10]}
    assert len(wrong & found) > 0.85 * len(wrong)


def test_objects_that_the_model_never_finds_are_no_errors():
    """A class that was not learned: nothing speaks against its labels but the model's ignorance."""
    images = reviewed_images(80, never_found=[2])
    listed = [one for one in review(images) if one.class_id == 2]
    assert all(one.score < LIKELY_WRONG for one in listed)


def test_scores_fall_and_are_probabilities(images: list[EvaluatedImage]):
    scores = [one.score for one in review(images)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


def test_the_same_images_give_the_same_list(images: list[EvaluatedImage]):
    assert review(images) == review(reviewed_images(60))


def test_each_set_has_its_own_standard():
    """A model that knows its training set by heart is less sure of the validation set, whose labels are as right."""
    learned = reviewed_images(60, missed=0.0)
    unsure = [
        image._replace(pred_scores=0.4 * image.pred_scores) for image in reviewed_images(60, seed=1, missed=0.0)
    ]
    listed = review_labels({"training": learned, "validation": unsure}, 3)
    labels = sum(len(image.gt_classes) for image in unsure)
    assert sum(one.set_name == "validation" and one.score >= LIKELY_WRONG for one in listed) < 0.03 * labels


@pytest.mark.parametrize("sets", [
    {}, {"training": []}, {"training": [evaluated_image([], [])], "validation": []},
    {"training": [evaluated_image([], [(0, 0.9, (0, 0, 10, 10))])]},
    {"training": [evaluated_image([(0, (0, 0, 10, 10))], [])]},
])  # fmt: skip
def test_sets_from_which_nothing_can_be_learned(sets: dict[str, list[EvaluatedImage]]):
    assert all(one.score < LIKELY_WRONG for one in review_labels(sets, 1))


def test_a_small_validation_set_is_judged_by_both_sets(images: list[EvaluatedImage]):
    image = images[WHERE]
    label = confident_label(image)
    classes = image.gt_classes.copy()
    classes[label] = (classes[label] + 1) % 3
    alone = with_labels(image, image.gt_boxes, classes)
    first = review_labels({"training": images, "validation": [alone]}, 3)[0]
    assert (first.set_name, first.image, first.kind) == ("validation", 0, WRONG_CLASS)


@pytest.mark.parametrize("num_classes", [1, 7])
def test_one_class_and_classes_without_labels(num_classes: int):
    images = reviewed_images(40, num_classes=1)
    image = images[WHERE]
    label = confident_label(image)
    kept = np.arange(len(image.gt_boxes)) != label
    first = review(changed(images, image.gt_boxes[kept], image.gt_classes[kept]), num_classes)[0]
    assert (first.kind, first.image) == (MISSING, WHERE)
