"""Wrong labels made of right ones are wrong, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluated_images import BOX, FAR, evaluated_image
from tests.reviewed_sets import reviewed_images
from ymir_detectron2.box_geometry import pairwise_iou
from ymir_detectron2.evaluation.simulated_errors import simulated_errors


def test_no_simulated_label_is_right():
    for image, (boxes, classes) in simulated_errors(reviewed_images(12), 3):
        iou = pairwise_iou(boxes, image.gt_boxes)
        assert not ((iou >= 0.6) & (classes[:, None] == image.gt_classes)).any()


def test_there_are_as_many_of_each_kind_as_labels():
    images = reviewed_images(12)
    labels = sum(len(image.gt_classes) for image in images)
    errors = list(simulated_errors(images, 3))
    other_class = [e for e in errors if e[0].gt_boxes is e[1][0]]
    shifted = [e for e in errors if e[0].gt_classes is e[1][1]]
    for kind in (other_class, shifted):
        assert sum(len(classes) for _, (_, classes) in kind) == labels
    from_others = sum(len(classes) for _, (_, classes) in errors) - 2 * labels
    assert 0.6 * labels < from_others <= 4 / 3 * labels, "one of four images has no labels, and gets some here"


def test_shifted_labels_overlap_the_object_by_about_half():
    images = [evaluated_image([(0, (10 * n, 20, 10 * n + 40, 50)) for n in range(6)], [])]
    (boxes,) = (boxes for image, (boxes, classes) in simulated_errors(images, 2) if classes is image.gt_classes)
    own = np.diag(pairwise_iou(boxes, images[0].gt_boxes))
    assert own.min() > 0.35
    assert own.max() < 0.6


def test_a_label_at_the_same_place_of_an_image_of_another_size():
    one = evaluated_image([(0, BOX)], [])._replace(image_hw=(100, 100))
    other = evaluated_image([(1, FAR)], [])._replace(image_hw=(200, 400))
    first, second = [labels for _, labels in simulated_errors([one, other], 2)][:2]
    assert (first[0].tolist(), first[1].tolist()) == ([[12.5, 25, 15, 30]], [1])
    assert (second[0].tolist(), second[1].tolist()) == ([[0, 0, 40, 20]], [0])


def test_where_a_camera_stands_still_labels_of_another_image_are_right_and_left_out():
    images = [evaluated_image([(0, BOX)], []), evaluated_image([(0, BOX), (1, FAR)], [])]
    errors = list(simulated_errors(images, 2))[:2]
    assert [classes.tolist() for _, (_, classes) in errors] == [[1], []]


@pytest.mark.parametrize("images", [[], [evaluated_image([], [(0, 0.5, BOX)])]])
def test_without_labels_there_are_none(images: list):
    assert list(simulated_errors(images, 3)) == []


def test_a_single_class_has_no_other():
    image = evaluated_image([(0, BOX)], [])
    assert all(classes.tolist() in ([0], []) for _, (_, classes) in simulated_errors([image], 1))
