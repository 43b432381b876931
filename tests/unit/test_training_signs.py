"""Which losses and metrics are a sign that a training fails."""

from __future__ import annotations

import dataclasses

import pytest

from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.metrics import Metrics
from ymir_detectron2.training.training_signs import failure_signs

FOUND = Metrics(ap=0.1, ap50=0.2, ap75=0.1, ar100=0.1, ap_by_class={"cat": 0.1}, ap50_by_class={"cat": 0.2})
NOTHING_FOUND = dataclasses.replace(FOUND, ap=0.0, ap50=0.0, ap_by_class={"cat": 0.0}, ap50_by_class={"cat": 0.0})
NO_OBJECTS = dataclasses.replace(NOTHING_FOUND, ap_by_class={}, ap50_by_class={})


def losses(*totals: float) -> dict[str, LossCurve]:
    """Two losses of equal size with these sums; before the first step there are none."""
    if not totals:
        return {}
    halves = [total / 2 for total in totals]
    return {name: LossCurve(range(len(totals)), halves) for name in ("loss_cls", "loss_box_reg")}


@pytest.mark.parametrize(
    ("totals", "has_diverged"),
    [
        ((), False),
        ((1.8, 1.2, 0.6), False),
        ((0.1, *[0.9] * 30), False),  # fine-tuning, nine times as high and still low
        ((30.0, *[60.0] * 30), False),  # weighted classes: high from the beginning
        ((1.8, *[1.0] * 30, *[500.0] * 9), False),  # nine spikes in a row
        ((1.8, *[1.0] * 30, *[500.0] * 20), True),
        ((1.8, 2e5), True),
    ],
)
def test_a_loss_has_diverged_if_it_is_high_and_has_grown(totals: tuple[float, ...], has_diverged: bool):
    signs = failure_signs(0.5, losses(*totals), FOUND)
    assert [sign for sign in signs if "learning_rate" in sign] == signs
    assert bool(signs) == has_diverged


def test_a_loss_that_appears_later_is_counted_from_there_on():
    late = {**losses(1.0, 1.0, 1.0), "loss_mask": LossCurve([2], [900.0])}
    assert failure_signs(0.5, late, FOUND) == [], "900 is where it begins"


@pytest.mark.parametrize(
    ("progress", "metrics", "count"),
    [(0.09, NOTHING_FOUND, 0), (0.1, NOTHING_FOUND, 1), (1.0, NOTHING_FOUND, 1), (1.0, FOUND, 0), (1.0, NO_OBJECTS, 0)],
)
def test_nothing_found_is_a_sign_after_a_tenth_if_there_is_something(progress: float, metrics: Metrics, count: int):
    signs = failure_signs(progress, losses(1.0), metrics)
    assert len(signs) == count
    assert all("AP50 0" in sign for sign in signs)
