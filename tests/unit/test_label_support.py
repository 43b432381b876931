"""Support of labels by detections, in numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluated_images import BOX, FAR, HALF, evaluated_image
from ymir_detectron2.evaluation.label_support import Standard, detection_features, label_features, measure_standard

ONES = Standard(np.ones((2, 2)), np.array([0.25, 0.5]), np.ones(2), np.array([0.1, 0.2]))


def features(image, standard: Standard = ONES) -> list[list[float]]:
    return [pytest.approx(row) for row in label_features(image.gt_boxes, image.gt_classes, image, standard).tolist()]


def test_support_is_score_times_iou_and_the_rival_is_of_another_class():
    image = evaluated_image([(0, BOX)], [(0, 0.8, HALF), (0, 0.1, BOX), (1, 0.6, BOX), (1, 0.9, FAR)])
    # own: 0.8 x 0.5 and 0.8 x 0.5 cubed, or 0.1 of the box that fits; the class's own share of weak labels comes last
    assert features(image) == [[0.4, 0.1, 0.6, 0.6, 0.25]]


def test_support_is_counted_in_what_is_usual_for_the_class_of_the_detection():
    image = evaluated_image([(0, BOX)], [(0, 0.4, BOX), (1, 0.4, BOX)])
    standard = ONES._replace(supports=np.array([[0.5, 0.8], [0.2, 0.1]]))
    assert features(image, standard) == [[0.8, 2.0, 0.5, 2.0, 0.25]], "twice as much as usual is as much as counts"


def test_a_label_without_a_detection_and_an_image_without_a_label():
    assert features(evaluated_image([(1, BOX)], [])) == [[0, 0, 0, 0, 0.5]]
    assert features(evaluated_image([], [(0, 0.5, BOX)])) == []


def test_detections_in_what_is_usual():
    image = evaluated_image([], [(0, 0.3, BOX), (1, 0.9, FAR)])
    standard = ONES._replace(scores=np.array([0.6, 0.3]))
    found = detection_features(image, np.array([0.0, 0.2]), standard)
    assert found.tolist() == [[pytest.approx(0.5), 0, 0.1], [2.0, 0.2, 0.2]]


def test_the_standard_of_a_set():
    """Five labels of class 0 with support 0.2 to 1.0, and one of class 1: too few for a standard of its own."""
    scores = [0.2, 0.4, 0.6, 0.8, 1.0]
    images = [evaluated_image([(0, BOX)], [(0, score, BOX), (0, 0.3, FAR)]) for score in scores]
    images.append(evaluated_image([(1, BOX)], [(1, 0.9, BOX)]))
    standard = measure_standard(images, 3)
    assert standard.supports.tolist() == [[pytest.approx(0.6), pytest.approx(0.7), pytest.approx(0.7)]] * 2
    assert standard.scores.tolist() == [pytest.approx(0.6), pytest.approx(0.7), pytest.approx(0.7)]
    # below half of 0.7: one of six. Class 0 has it itself, one of five, and is drawn to that of all: (1 + 5 / 6) / 10
    assert standard.weak_shares.tolist() == [pytest.approx((1 + 5 / 6) / 10), pytest.approx(5 / 6 / 6),
                                             pytest.approx(1 / 6)]  # fmt: skip
    # above half of 0.7 stand 0.4 to 1.0 of class 0 and 0.9 of class 1, all true; 0.3 is not above
    assert standard.false_shares.tolist() == [0, 0, 0]


def test_the_standard_of_nothing_is_finite():
    for images in ([], [evaluated_image([], [])], [evaluated_image([(0, BOX)], [])]):
        standard = measure_standard(images, 2)
        assert all(np.isfinite(values).all() for values in standard)
        assert (standard.supports > 0).all()
        assert (standard.scores > 0).all()
