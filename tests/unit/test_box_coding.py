"""Boxes as offsets from anchors, and back."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.retinanet.box_coding import MAX_LOG_SCALE, clip_boxes, decode_boxes, encode_boxes, scale_boxes

ONES = (1.0, 1.0, 1.0, 1.0)


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_no_offset_means_the_anchor_itself():
    anchor = boxes([10, 20, 30, 60])
    assert encode_boxes(anchor, anchor, ONES).tolist() == [[0, 0, 0, 0]]
    assert decode_boxes(anchor, torch.zeros(1, 4), ONES).tolist() == anchor.tolist()


def test_offsets_count_in_anchor_sizes_and_logarithms():
    found = encode_boxes(boxes([0, 0, 10, 20]), boxes([5, 10, 25, 30]), ONES)  # centre +10, +10; size x2, x1
    assert torch.allclose(found, boxes([1.0, 0.5, math.log(2), 0.0]))


def test_weights_multiply_the_offsets():
    found = encode_boxes(boxes([0, 0, 10, 20]), boxes([5, 10, 25, 30]), (2.0, 4.0, 3.0, 1.0))
    assert torch.allclose(found, boxes([2.0, 2.0, 3 * math.log(2), 0.0]))


@pytest.mark.parametrize("weights", [ONES, (10.0, 10.0, 5.0, 5.0)])
def test_decoding_undoes_encoding(weights):
    anchors, targets = boxes([0, 0, 10, 20], [3, 4, 50, 44]), boxes([1, 2, 9, 30], [0, 0, 7, 7.5])
    again = decode_boxes(anchors, encode_boxes(anchors, targets, weights), weights)
    assert torch.allclose(again, targets, atol=1e-4)


def test_growth_is_capped_so_that_it_stays_finite():
    grown = decode_boxes(boxes([0, 0, 16, 16]), boxes([0, 0, 100, MAX_LOG_SCALE]), ONES)
    assert torch.allclose(grown[0, 2:] - grown[0, :2], torch.tensor([1000.0, 1000.0]))


def test_half_precision_offsets_give_full_precision_boxes():
    assert decode_boxes(boxes([0, 0, 16, 16]), torch.zeros(1, 4, dtype=torch.bfloat16), ONES).dtype == torch.float32


def test_clipping_moves_corners_into_the_picture():
    clipped = clip_boxes(boxes([-5, -5, 50, 50], [30, 40, 35, 45]), (20, 30))
    assert clipped.tolist() == [[0, 0, 30, 20], [30, 20, 30, 20]]


def test_scaling_to_the_original_picture_clips_and_marks_what_lost_its_area():
    scaled, keep = scale_boxes(boxes([10, 10, 20, 30], [90, 0, 120, 10], [100, 0, 120, 10]), (50, 100), (100, 300))
    assert scaled.tolist() == [[30, 20, 60, 60], [270, 0, 300, 20], [300, 0, 300, 20]]
    assert keep.tolist() == [True, True, False]


def test_no_boxes_stay_no_boxes():
    scaled, keep = scale_boxes(boxes(), (50, 100), (100, 300))
    assert (tuple(scaled.shape), tuple(keep.shape)) == ((0, 4), (0,))
    assert decode_boxes(boxes(), boxes(), ONES).shape == (0, 4)
