"""Losses, with expected values derived by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.retinanet.losses import (
    ciou_loss,
    diou_loss,
    giou_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
)

UNIT = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
LN2 = math.log(2)


@pytest.mark.parametrize(
    ("target", "alpha", "gamma", "expected"),
    [
        pytest.param(1.0, -1, 0.0, LN2, id="plain cross entropy at probability 1/2"),
        pytest.param(1.0, -1, 2.0, LN2 / 4, id="(1 - 1/2)^2 of it"),
        pytest.param(1.0, 0.25, 2.0, LN2 / 16, id="a quarter for a positive"),
        pytest.param(0.0, 0.25, 2.0, 3 * LN2 / 16, id="three quarters for a negative"),
    ],
)
def test_focal_loss_of_an_undecided_logit(target, alpha, gamma, expected):
    loss = sigmoid_focal_loss(torch.zeros(1, 1), torch.tensor([[target]]), alpha, gamma)
    assert float(loss) == pytest.approx(expected)


def test_focal_loss_sums_and_discounts_easy_examples():
    logits = torch.tensor([[0.0, 20.0], [0.0, -20.0]])
    targets = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert float(sigmoid_focal_loss(logits, targets, -1, 2.0)) == pytest.approx(2 * LN2 / 4, rel=1e-6)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        pytest.param(0.0, 0.5 + 2.0, id="plain distances"),
        pytest.param(1.0, 0.5 * 0.5**2 / 1.0 + (2.0 - 0.5), id="0.5 is in the round part, 2 is not"),
    ],
)
def test_smooth_l1_is_round_below_beta(beta, expected):
    pred, target = torch.tensor([[0.5, 3.0]]), torch.tensor([[0.0, 5.0]])
    assert float(smooth_l1_loss(pred, target, beta)) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [giou_loss, diou_loss, ciou_loss])
def test_box_losses_of_equal_boxes_are_zero_and_of_no_boxes_too(loss):
    assert float(loss(UNIT, UNIT)) == pytest.approx(0, abs=1e-6)
    assert float(loss(UNIT[:0], UNIT[:0])) == 0


def test_giou_of_neighbours_counts_the_gap():
    """10x10 boxes with a gap of 10: IoU 0, enclosing 30x10 of which 100 is empty: GIoU = -100/300."""
    assert float(giou_loss(UNIT, torch.tensor([[20.0, 0.0, 30.0, 10.0]]))) == pytest.approx(1 + 1 / 3)


def test_diou_counts_the_distance_of_centres_in_diagonals():
    """Half over each other: IoU 50/150; centres 5 apart, diagonal of 15x10: 25 / 325."""
    assert float(diou_loss(UNIT, torch.tensor([[5.0, 0.0, 15.0, 10.0]]))) == pytest.approx(1 - 1 / 3 + 25 / 325)


def test_ciou_adds_the_difference_of_aspect():
    """10x10 in 20x10 with one centre: IoU 1/2; v = 4/pi^2 (atan 2 - atan 1)^2, weighted v / (1 - 1/2 + v)."""
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    wide = torch.tensor([[-5.0, 0.0, 15.0, 10.0]])
    assert float(ciou_loss(UNIT, wide)) == pytest.approx(0.5 + v * v / (0.5 + v))


@pytest.mark.parametrize("loss", [giou_loss, diou_loss, ciou_loss])
def test_box_losses_pull_on_boxes_that_do_not_touch(loss):
    pred = torch.tensor([[20.0, 0.0, 30.0, 10.0]], requires_grad=True)
    loss(pred, UNIT).backward()
    assert torch.isfinite(pred.grad).all()
    assert float(pred.grad[0, 0]) > 0  # moving left makes it smaller


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_smooth_l1_has_a_finite_gradient_everywhere(beta):
    pred = torch.tensor([[0.0, 1.0]], requires_grad=True)
    smooth_l1_loss(pred, torch.zeros(1, 2), beta).backward()
    assert pred.grad.tolist() == [[0.0, 1.0]]


def test_class_weights_count_positive_targets_only():
    logits, targets = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weighted = sigmoid_focal_loss(logits, targets, -1, 0.0, torch.tensor([3.0, 1.0]))
    assert float(weighted) == pytest.approx((3 + 1 + 1 + 1) * LN2)


def test_losses_of_half_precision_are_float32():
    halves = torch.zeros(1, 1, dtype=torch.bfloat16)
    assert sigmoid_focal_loss(halves, torch.ones(1, 1), 0.25, 2.0).dtype == torch.float32
    assert smooth_l1_loss(halves, halves, 0.1).dtype == torch.float32
