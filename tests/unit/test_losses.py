"""Losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.retinanet.losses import ciou_loss, diou_loss, giou_loss, sigmoid_focal_loss, smooth_l1_loss

UNIT = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
LN2 = math.log(2)


@pytest.mark.parametrize(
    ("target", "alpha", "gamma", "wanted"),
    [
        pytest.param(1.0, -1, 0.0, LN2, id="plain cross entropy at probability 1/2"),
        pytest.param(1.0, -1, 2.0, LN2 / 4, id="(1 - 1/2)^2 of it"),
        pytest.param(1.0, 0.25, 2.0, LN2 / 16, id="a quarter for a positive"),
        pytest.param(0.0, 0.25, 2.0, 3 * LN2 / 16, id="three quarters for a negative"),
    ],
)
def test_focal_loss_of_an_undecided_logit(target, alpha, gamma, wanted):
    assert float(sigmoid_focal_loss(torch.zeros(1, 1), torch.tensor([[target]]), alpha, gamma)) == pytest.approx(wanted)


def test_focal_loss_sums_and_forgives_the_easy_ones():
    logits = torch.tensor([[0.0, 20.0], [0.0, -20.0]])
    targets = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert float(sigmoid_focal_loss(logits, targets, -1, 2.0)) == pytest.approx(2 * LN2 / 4, rel=1e-6)


@pytest.mark.parametrize(
    ("beta", "wanted"),
    [
        pytest.param(0.0, 0.5 + 2.0, id="plain distances"),
        pytest.param(1.0, 0.5 * 0.5**2 / 1.0 + (2.0 - 0.5), id="0.5 lies in the round part, 2 does not"),
    ],
)
def test_smooth_l1_is_round_below_beta(beta, wanted):
    found, truth = torch.tensor([[0.5, 3.0]]), torch.tensor([[0.0, 5.0]])
    assert float(smooth_l1_loss(found, truth, beta)) == pytest.approx(wanted)


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
    found = torch.tensor([[20.0, 0.0, 30.0, 10.0]], requires_grad=True)
    loss(found, UNIT).backward()
    assert torch.isfinite(found.grad).all()
    assert float(found.grad[0, 0]) > 0  # moving left makes it smaller
