"""From logits and offsets to boxes."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.retinanet.decoding import DecodingRules, DenseOutputs, decode_batch, scale_detections

ONES = (1.0, 1.0, 1.0, 1.0)
RULES = DecodingRules(score_threshold=0.5, nms_threshold=0.5, max_candidates=100, max_detections=10)


def logit(probability):
    return math.log(probability / (1 - probability))


def dense(anchors, probabilities):
    """One level, one picture, no offsets."""
    logits = torch.tensor([[[logit(p) for p in row] for row in probabilities]])
    boxes = torch.tensor(anchors, dtype=torch.float32)
    return DenseOutputs([logits], [torch.zeros(1, len(anchors), 4)], [boxes])


def decode(anchors, probabilities, **rules):
    return decode_batch(dense(anchors, probabilities), [(100, 100)], RULES._replace(**rules), ONES)[0]


def test_nothing_above_the_threshold_gives_no_boxes_of_the_right_shape():
    found = decode([[0, 0, 10, 10]], [[0.4, 0.1]])
    assert [tuple(part.shape) for part in found] == [(0, 4), (0,), (0,), (0, 2)]


def test_a_box_carries_its_score_class_and_what_the_anchor_says_of_every_class():
    found = decode([[0, 0, 10, 10], [50, 50, 60, 70]], [[0.1, 0.2], [0.3, 0.9]])
    assert found.boxes_xyxy.tolist() == [[50, 50, 60, 70]]
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.classes.tolist() == [1]
    assert found.class_probs.tolist()[0] == pytest.approx([0.3, 0.9])


def test_one_anchor_may_show_two_classes():
    found = decode([[0, 0, 10, 10]], [[0.6, 0.8]])
    assert found.classes.tolist() == [1, 0]


def test_the_weaker_of_two_overlapping_boxes_goes_only_within_a_class():
    anchors = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10]]
    found = decode(anchors, [[0.9, 0.1], [0.8, 0.1], [0.1, 0.7]])
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.classes.tolist() == [0, 1]


def test_boxes_come_best_first_and_at_most_as_many_as_allowed():
    anchors = [[20 * i, 0, 20 * i + 10, 10] for i in range(4)]
    found = decode(anchors, [[0.6], [0.9], [0.7], [0.8]], max_detections=3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_only_the_best_candidates_of_each_level_are_decoded():
    level = dense([[0, 0, 10, 10], [20, 0, 30, 10]], [[0.6], [0.7]])
    two_levels = DenseOutputs(*(part * 2 for part in level))
    found = decode_batch(two_levels, [(100, 100)], RULES._replace(max_candidates=1, nms_threshold=1.0), ONES)[0]
    assert found.scores.tolist() == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize(
    ("threshold", "count"),
    [(0.0, 2), (-1.0, 2), (0.05, 1), (0.0499, 2), (1.0, 0), (0.999, 0)],
)
def test_a_score_must_be_above_the_threshold(threshold, count):
    """A float32 of exactly 0.05 is a little above 0.05, hence the thresholds on both sides of it."""
    assert len(decode([[0, 0, 10, 10], [50, 0, 60, 10]], [[0.04995], [0.9]], score_threshold=threshold).scores) == count


def test_boxes_are_clipped_to_the_picture_without_its_padding():
    found = decode_batch(dense([[-5, -5, 40, 40]], [[0.9]]), [(20, 30)], RULES, ONES)[0]
    assert found.boxes_xyxy.tolist() == [[0, 0, 30, 20]]


def test_scaling_drops_boxes_outside_the_picture_with_all_that_belongs_to_them():
    found = decode_batch(dense([[200, 0, 210, 10], [0, 0, 10, 10]], [[0.9], [0.8]]), [(100, 100)], RULES, ONES)[0]
    scaled = scale_detections(found, (100, 100), (50, 200))
    assert scaled.boxes_xyxy.tolist() == [[0, 0, 20, 5]]
    assert scaled.scores.tolist() == pytest.approx([0.8])
    assert (len(scaled.classes), len(scaled.class_probs)) == (1, 1)


def test_half_precision_predictions_give_full_precision_scores():
    halves = dense([[0, 0, 10, 10]], [[0.9]])
    halves = DenseOutputs([halves.logits[0].bfloat16()], [halves.deltas[0].bfloat16()], halves.anchors)
    found = decode_batch(halves, [(100, 100)], RULES, ONES)[0]
    assert {found.scores.dtype, found.boxes_xyxy.dtype, found.class_probs.dtype} == {torch.float32}


def test_predictions_that_are_not_numbers_give_no_boxes():
    broken = dense([[0, 0, 10, 10]], [[0.9]])
    broken.logits[0].fill_(float("nan"))
    assert len(decode_batch(broken, [(100, 100)], RULES, ONES)[0].scores) == 0
