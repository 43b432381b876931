"""NaN recovery: real steps, with a weight that turns NaN in one of them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny_training import build, config, draw_set, trainer_of
from ymir_detectron2.errors import NonFiniteLossError
from ymir_detectron2.training.nan_recovery import NanRecovery
from ymir_detectron2.training.training_state import TrainingState

CFG = config(TEST__EVAL_PERIOD=1, SOLVER__IMS_PER_BATCH=1)


def spoil_next_step(model: nn.Module) -> None:
    """Set a bias to NaN at the next forward pass, as a step that diverges would have."""

    def spoil(*_: object) -> None:
        handle.remove()
        with torch.no_grad():
            model.head.bbox_pred.bias.fill_(float("nan"))

    handle = model.register_forward_pre_hook(spoil)


def test_the_last_good_weights_are_restored_and_the_rate_is_halved(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    model = build(CFG)
    trainer = trainer_of(model, CFG, draw_set(tmp_path))
    rates = [trainer.train_step(step).learning_rate for step in (1, 2)]
    spoil_next_step(model)
    with caplog.at_level(logging.WARNING):
        third = trainer.train_step(3)
    assert third.step == 3
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert third.learning_rate == pytest.approx(rates[1] / 2)
    (line,) = caplog.messages
    assert line.startswith("step 3: the loss is")
    assert line.endswith("NaN recovery 1 of 3: back to the weights of step 2, with half the learning rate")


def test_the_fourth_failure_ends_the_run_with_good_weights_in_place(tmp_path: Path):
    model = build(CFG)
    trainer = trainer_of(model, CFG, draw_set(tmp_path))
    rates = []
    for step in (1, 2, 3):
        spoil_next_step(model)
        rates.append(trainer.train_step(step).learning_rate)
    assert rates == pytest.approx([rates[0] / 2**number for number in range(3)])
    spoil_next_step(model)
    with pytest.raises(NonFiniteLossError, match=r"step 4: the loss is .*for the fourth time; the weights of step 3"):
        trainer.train_step(4)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_two_failures_between_two_snapshots_lead_to_the_older_one():
    """The newer snapshot may already have been diverging."""
    model = nn.Linear(1, 1, bias=False)
    recovery = NanRecovery(TrainingState(model, {}), eval_period=10)
    for step, weight in ((0, 0.0), (5, 5.0), (10, 10.0), (13, 13.0)):
        nn.init.constant_(model.weight, weight)
        recovery.snapshot(step)
    restored = []
    for step in (14, 15, 16):
        recovery.recover(step, "NaN")
        restored.append((model.weight.item(), recovery.lr_scale))
    assert restored == [(10.0, 0.5), (0.0, 0.25), (0.0, 0.125)]


def test_a_resumed_run_keeps_its_lower_rate_and_no_older_snapshot():
    model = nn.Linear(1, 1, bias=False)
    first, second = (NanRecovery(TrainingState(model, {}), eval_period=10) for _ in range(2))
    first.snapshot(0)
    first.recover(1, "NaN")
    second.snapshot(0)
    second.load_state_dict(first.state_dict())
    assert second.lr_scale == 0.5
    nn.init.constant_(model.weight, 7.0)
    second.snapshot(13)
    nn.init.constant_(model.weight, 9.0)
    second.recover(14, "NaN")
    assert (model.weight.item(), second.lr_scale) == (7.0, 0.25)
