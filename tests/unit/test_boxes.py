"""Overlap of boxes, matching with anchors, offsets, clipping."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.retinanet import boxes as boxes_module
from ymir_detectron2.retinanet.boxes import (
    BACKGROUND,
    IGNORED,
    MAX_LOG_SCALE,
    OBJECT,
    box_areas,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    intersection_and_union,
    match_anchors,
    pairwise_iou,
)

ONES = (1.0, 1.0, 1.0, 1.0)


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def match(anchors, gt_boxes):
    matches, labels = match_anchors(anchors, gt_boxes, (0.4, 0.5), (BACKGROUND, IGNORED, OBJECT))
    return matches.tolist(), labels.tolist()


def test_area_is_width_times_height():
    assert box_areas(boxes([0, 0, 10, 20], [5, 5, 5, 9], [3, 4, 6, 5])).tolist() == [200, 0, 3]
    assert box_areas(boxes()).shape == (0,)


def test_intersection_and_union_of_boxes_in_pairs():
    intersection, union = intersection_and_union(
        boxes([0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]),
        boxes([5, 0, 15, 10], [10, 0, 20, 10], [20, 20, 30, 30]),  # half over each other, touching, apart
    )
    assert intersection.tolist() == [50, 0, 0]
    assert union.tolist() == [150, 200, 200]


def test_boxes_that_only_touch_get_no_gradient_from_their_intersection():
    moving = boxes([0, 0, 10, 10]).requires_grad_()
    intersection_and_union(moving, boxes([10, 0, 20, 10]))[0].sum().backward()
    assert moving.grad.tolist() == [[0, 0, 0, 0]]


def test_iou_is_shared_area_over_common_area():
    iou = pairwise_iou(boxes([0, 0, 10, 10]), boxes([0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]))
    assert torch.allclose(iou, torch.tensor([[1.0, 50 / 150, 0.0]]))


def test_boxes_that_share_an_edge_or_have_no_area_do_not_overlap():
    assert pairwise_iou(boxes([0, 0, 10, 10]), boxes([10, 0, 20, 10], [5, 5, 5, 5])).tolist() == [[0.0, 0.0]]
    assert pairwise_iou(boxes([5, 5, 5, 5]), boxes([5, 5, 5, 5])).tolist() == [[0.0]]


def test_an_image_without_objects_is_all_background():
    assert match(boxes([0, 0, 1, 1], [2, 2, 3, 3]), boxes()) == ([0, 0], [BACKGROUND, BACKGROUND])


def test_iou_decides_between_object_ignored_and_background():
    anchors = boxes([0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.5], [0, 0, 10, 3])  # IoU 1, 0.5, 0.45, 0.3
    assert match(anchors, boxes([0, 0, 10, 10]))[1] == [OBJECT, OBJECT, IGNORED, BACKGROUND]


def test_the_best_anchors_of_a_box_count_even_below_the_threshold_with_ties():
    anchors = boxes([0, 0, 10, 2], [0, 8, 10, 10], [0, 0, 10, 1])  # IoU 0.2, 0.2, 0.1
    assert match(anchors, boxes([0, 0, 10, 10]))[1] == [OBJECT, OBJECT, BACKGROUND]


def test_an_anchor_takes_the_box_that_it_overlaps_most_even_if_another_needs_it():
    """The small box has no better anchor, so the anchor becomes an object, but of the large box."""
    anchors = boxes([0, 0, 10, 10])
    assert match(anchors, boxes([0, 0, 2, 2], [0, 0, 10, 9])) == ([1], [OBJECT])


def test_many_boxes_are_matched_in_chunks_with_the_same_result(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator) * 50
    both = torch.cat([corners, corners + 5 + torch.rand(60, 2, generator=generator) * 20], dim=1).round()
    anchors, gt_boxes = both[:40], torch.cat([both[40:], both[40:50]])  # ten of them twice: ties
    whole = match(anchors, gt_boxes)
    assert len(set(whole[1])) == 3
    monkeypatch.setattr(boxes_module, "_MAX_PAIRS", 7 * len(anchors))
    assert match(anchors, gt_boxes) == whole


def test_no_offset_means_the_anchor_itself():
    anchor = boxes([10, 20, 30, 60])
    assert encode_boxes(anchor, anchor, ONES).tolist() == [[0, 0, 0, 0]]
    assert decode_boxes(anchor, torch.zeros(1, 4), ONES).tolist() == anchor.tolist()


def test_offsets_count_in_anchor_sizes_and_logarithms():
    deltas = encode_boxes(boxes([0, 0, 10, 20]), boxes([5, 10, 25, 30]), ONES)  # centre +10, +10; size x2, x1
    assert torch.allclose(deltas, boxes([1.0, 0.5, math.log(2), 0.0]))


def test_weights_multiply_the_offsets():
    deltas = encode_boxes(boxes([0, 0, 10, 20]), boxes([5, 10, 25, 30]), (2.0, 4.0, 3.0, 1.0))
    assert torch.allclose(deltas, boxes([2.0, 2.0, 3 * math.log(2), 0.0]))


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


def test_clipping_moves_corners_into_the_image():
    clipped = clip_boxes(boxes([-5, -5, 50, 50], [30, 40, 35, 45]), (20, 30))
    assert clipped.tolist() == [[0, 0, 30, 20], [30, 20, 30, 20]]


def test_no_boxes_stay_no_boxes():
    assert decode_boxes(boxes(), boxes(), ONES).shape == (0, 4)
    assert encode_boxes(boxes(), boxes(), ONES).shape == (0, 4)
    assert clip_boxes(boxes(), (5, 5)).shape == (0, 4)
    assert pairwise_iou(boxes(), boxes([0, 0, 1, 1])).shape == (0, 1)
