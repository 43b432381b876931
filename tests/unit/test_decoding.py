"""From logits and offsets to boxes; the dense outputs of one image without its padding."""

from __future__ import annotations

import math

import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.retinanet.decoding import CroppedDenseOutputs, DenseOutputs, PostprocessConfig, decode_batch

ONES = (1.0, 1.0, 1.0, 1.0)
POSTPROCESS = PostprocessConfig(score_threshold=0.5, nms_threshold=0.5, max_candidates=100, max_detections=10)


def logit(probability):
    return math.log(probability / (1 - probability))


def dense(anchors, probabilities):
    """One level, one image, no offsets."""
    logits = torch.tensor([[[logit(p) for p in row] for row in probabilities]])
    boxes = torch.tensor(anchors, dtype=torch.float32)
    return DenseOutputs([logits], [torch.zeros(1, len(anchors), 4)], [boxes])


def decode(anchors, probabilities, **changes):
    return decode_batch(dense(anchors, probabilities), [(100, 100)], POSTPROCESS._replace(**changes), ONES)[0]


def test_nothing_above_the_threshold_gives_no_boxes_of_the_right_shape():
    decoded = decode([[0, 0, 10, 10]], [[0.4, 0.1]])
    assert [tuple(field.shape) for field in decoded] == [(0, 4), (0,), (0,), (0, 2)]


def test_a_box_carries_its_score_class_and_what_the_anchor_says_of_every_class():
    decoded = decode([[0, 0, 10, 10], [50, 50, 60, 70]], [[0.1, 0.2], [0.3, 0.9]])
    assert decoded.boxes_xyxy.tolist() == [[50, 50, 60, 70]]
    assert decoded.scores.tolist() == pytest.approx([0.9])
    assert decoded.classes.tolist() == [1]
    assert decoded.class_probs.tolist()[0] == pytest.approx([0.3, 0.9])


def test_one_anchor_may_show_two_classes():
    decoded = decode([[0, 0, 10, 10]], [[0.6, 0.8]])
    assert decoded.classes.tolist() == [1, 0]


def test_the_weaker_of_two_overlapping_boxes_goes_only_within_a_class():
    anchors = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10]]
    decoded = decode(anchors, [[0.9, 0.1], [0.8, 0.1], [0.1, 0.7]])
    assert decoded.scores.tolist() == pytest.approx([0.9, 0.7])
    assert decoded.classes.tolist() == [0, 1]


def test_boxes_come_best_first_and_at_most_as_many_as_allowed():
    anchors = [[20 * i, 0, 20 * i + 10, 10] for i in range(4)]
    decoded = decode(anchors, [[0.6], [0.9], [0.7], [0.8]], max_detections=3)
    assert decoded.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_only_the_best_candidates_of_each_level_are_decoded():
    level = dense([[0, 0, 10, 10], [20, 0, 30, 10]], [[0.6], [0.7]])
    two_levels = DenseOutputs(*(part * 2 for part in level))
    decoded = decode_batch(two_levels, [(100, 100)], POSTPROCESS._replace(max_candidates=1, nms_threshold=1.0), ONES)[0]
    assert decoded.scores.tolist() == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize(
    ("threshold", "count"),
    [(0.0, 2), (-1.0, 2), (0.05, 1), (0.0499, 2), (1.0, 0), (0.999, 0)],
)
def test_a_score_must_be_above_the_threshold(threshold, count):
    """A float32 of exactly 0.05 is a little above 0.05, hence the thresholds on both sides of it."""
    assert len(decode([[0, 0, 10, 10], [50, 0, 60, 10]], [[0.04995], [0.9]], score_threshold=threshold).scores) == count


def test_boxes_are_clipped_to_the_image_without_its_padding():
    decoded = decode_batch(dense([[-5, -5, 40, 40]], [[0.9]]), [(20, 30)], POSTPROCESS, ONES)[0]
    assert decoded.boxes_xyxy.tolist() == [[0, 0, 30, 20]]


def test_half_precision_predictions_give_full_precision_scores():
    halves = dense([[0, 0, 10, 10]], [[0.9]])
    halves = DenseOutputs([halves.logits[0].bfloat16()], [halves.deltas[0].bfloat16()], halves.anchors)
    decoded = decode_batch(halves, [(100, 100)], POSTPROCESS, ONES)[0]
    assert {decoded.scores.dtype, decoded.boxes_xyxy.dtype, decoded.class_probs.dtype} == {torch.float32}


def test_predictions_that_are_not_numbers_give_no_boxes():
    broken = dense([[0, 0, 10, 10]], [[0.9]])
    broken.logits[0].fill_(float("nan"))
    assert len(decode_batch(broken, [(100, 100)], POSTPROCESS, ONES)[0].scores) == 0


def test_a_level_without_candidates_adds_nothing_to_the_others():
    strong, weak = dense([[0, 0, 10, 10]], [[0.9]]), dense([[50, 0, 60, 10]], [[0.1]])
    two_levels = DenseOutputs(*(a + b for a, b in zip(strong, weak)))
    decoded = decode_batch(two_levels, [(100, 100)], POSTPROCESS, ONES)[0]
    assert decoded.boxes_xyxy.tolist() == [[0, 0, 10, 10]]


def test_images_of_a_batch_do_not_mix():
    one, other = dense([[0, 0, 10, 10]], [[0.9]]), dense([[0, 0, 10, 10]], [[0.6]])
    both = DenseOutputs([torch.cat([one.logits[0], other.logits[0]])], [torch.zeros(2, 1, 4)], one.anchors)
    first, second = decode_batch(both, [(100, 100), (5, 5)], POSTPROCESS, ONES)
    assert (first.scores.tolist(), second.scores.tolist()) == (pytest.approx([0.9]), pytest.approx([0.6]))
    assert second.boxes_xyxy.tolist() == [[0, 0, 5, 5]]


def test_thresholds_are_read_from_the_configuration():
    keys = {
        "MODEL.RETINANET.SCORE_THRESH_TEST": 0.1, "MODEL.RETINANET.NMS_THRESH_TEST": 0.2,
        "MODEL.RETINANET.TOPK_CANDIDATES_TEST": 3, "TEST.DETECTIONS_PER_IMAGE": 4,
    }  # fmt: skip
    assert PostprocessConfig.from_config(load_config(TINY_CONFIG).merged(keys, "test")) == (0.1, 0.2, 3, 4)


def cropped(index, image_hw, strides=(8,)):
    """One level of 2 x 3 cells, 2 anchors, 1 class, 1 channel, for two images."""
    features = torch.arange(12.0).reshape(2, 1, 2, 3)
    logits = torch.tensor([0.0, 1.0] * 6 + [2.0, -2.0] * 5 + [-1.0, -3.0]).reshape(2, 12, 1)
    return CroppedDenseOutputs([features], [logits], strides, index, image_hw)


def test_score_maps_hold_the_best_anchor_of_each_cell():
    (scores,) = cropped(1, (16, 24)).score_maps
    assert scores.shape == (1, 2, 3)
    best = torch.tensor([[2.0, 2, 2], [2, 2, -1]])
    assert torch.equal(scores[0], best.sigmoid())


@pytest.mark.parametrize(
    ("image_hw", "cells"),
    [
        pytest.param((16, 24), (2, 3), id="the whole batch"),
        pytest.param((8, 16), (1, 2), id="whole cells"),
        pytest.param((9, 17), (2, 3), id="a cell that is covered in part counts"),
        pytest.param((1, 1), (1, 1), id="a single pixel"),
    ],
)
def test_the_padding_of_the_batch_is_cut_off(image_hw, cells):
    outputs = cropped(1, image_hw)
    assert outputs.score_maps[0].shape == (1, *cells)
    (features,) = outputs.features
    assert torch.equal(features, torch.arange(6.0, 12.0).reshape(1, 2, 3)[:, : cells[0], : cells[1]])
