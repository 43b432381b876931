"""Which anchor stands for which object."""

from __future__ import annotations

import torch

from ymir_detectron2.retinanet.matching import BACKGROUND, IGNORED, OBJECT, match_anchors, pairwise_iou

NO_BOXES = torch.zeros(0, 4)


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def match(anchors, gt_boxes):
    matches, labels = match_anchors(anchors, gt_boxes, (0.4, 0.5), (BACKGROUND, IGNORED, OBJECT))
    return matches.tolist(), labels.tolist()


def test_iou_is_shared_area_over_common_area():
    iou = pairwise_iou(boxes([0, 0, 10, 10]), boxes([0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]))
    assert torch.allclose(iou, torch.tensor([[1.0, 50 / 150, 0.0]]))


def test_boxes_that_share_an_edge_or_have_no_area_do_not_overlap():
    assert pairwise_iou(boxes([0, 0, 10, 10]), boxes([10, 0, 20, 10], [5, 5, 5, 5])).tolist() == [[0.0, 0.0]]
    assert pairwise_iou(boxes([5, 5, 5, 5]), boxes([5, 5, 5, 5])).tolist() == [[0.0]]


def test_a_picture_without_objects_is_all_background():
    assert match(boxes([0, 0, 1, 1], [2, 2, 3, 3]), NO_BOXES) == ([0, 0], [BACKGROUND, BACKGROUND])


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
