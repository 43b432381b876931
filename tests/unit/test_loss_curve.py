"""Losses of a run of any length in at most a thousand points."""

from __future__ import annotations

from ymir_detectron2.evaluation.loss_curve import MAX_POINTS, LossCurve, LossHistory


def history_of(steps: int) -> LossHistory:
    history = LossHistory()
    for step in range(1, steps + 1):
        history.add(step, {"loss_cls": 1 / step})
    return history


def test_a_short_run_keeps_every_step():
    history = LossHistory()
    history.add(3, {"loss_cls": 0.5, "loss_box_reg": 2.0})
    history.add(4, {"loss_cls": 0.25})
    assert history.curves() == {
        "loss_cls": LossCurve([3, 4], [0.5, 0.25]),
        "loss_box_reg": LossCurve([3], [2.0]),
    }


def test_a_long_run_keeps_every_second_then_every_fourth_step():
    """The 1,001st point leaves 501; the 1,001st again, step 2,001, leaves every fourth."""
    assert list(history_of(1000).curves()["loss_cls"].steps) == list(range(1, 1001))
    assert list(history_of(1001).curves()["loss_cls"].steps) == list(range(1, 1002, 2))
    curve = history_of(2001).curves()["loss_cls"]
    assert list(curve.steps) == list(range(1, 2002, 4))
    assert list(curve.values) == [1 / step for step in curve.steps]
    assert len(history_of(90000).curves()["loss_cls"].steps) <= MAX_POINTS


def test_a_history_goes_on_as_if_it_had_never_been_written_away():
    whole, first, second = history_of(3000), history_of(1500), LossHistory()
    second.load_state_dict(first.state_dict())
    for step in range(1501, 3001):
        second.add(step, {"loss_cls": 1 / step})
    assert second.curves() == whole.curves()
