"""A loss that is no number: real steps, with a weight that is spoilt between two of them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training_parts import build, config, draw_set, trainer_of
from ymir_detectron2.errors import NonFiniteLossError
from ymir_detectron2.training.loop import Trainer
from ymir_detectron2.training.recovery import Recovery, is_finite
from ymir_detectron2.training.state import TrainingState


def spoil(model: nn.Module) -> None:
    with torch.no_grad():
        model.head.bbox_pred.bias.fill_(float("nan"))


def test_the_last_good_weights_come_back_and_the_rate_is_halved(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cfg = config(TEST__EVAL_PERIOD=1)
    model = build(cfg)
    steps = trainer_of(model, cfg, draw_set(tmp_path)).steps()
    rates = [next(steps).learning_rate, next(steps).learning_rate]
    spoil(model)
    with caplog.at_level(logging.WARNING):
        third = next(steps)
    assert third.step == 3
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert third.learning_rate == pytest.approx(rates[1] / 2)
    (line,) = caplog.messages
    assert "step 3: the loss is" in line
    assert line.endswith("going on from the weights of step 2 with half the learning rate (1 of 3 times)")


def test_the_fourth_failure_is_the_end_with_good_weights_in_place(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cfg = config(TEST__EVAL_PERIOD=1)
    model = build(cfg)
    steps = trainer_of(model, cfg, draw_set(tmp_path)).steps()
    next(steps)
    for _ in range(3):
        spoil(model)
        next(steps)
    assert [message.split("half the learning rate ")[1] for message in caplog.messages] == [
        "(1 of 3 times)", "(2 of 3 times)", "(3 of 3 times)"
    ]  # fmt: skip
    spoil(model)
    with pytest.raises(NonFiniteLossError, match=r"step 5: the loss is .*for the fourth time; the weights of step 4"):
        next(steps)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_two_failures_between_two_copies_lead_to_the_one_before():
    """The newest copy may already have been on its way to infinity."""
    model = nn.Linear(1, 1, bias=False)
    recovery = Recovery(TrainingState(model, {}), eval_period=10)
    for step, weight in ((0, 0.0), (5, 5.0), (10, 10.0), (13, 13.0)):
        nn.init.constant_(model.weight, weight)
        recovery.note_good(step)
    found = []
    for step in (14, 15, 16):
        recovery.recover(step, "NaN")
        found.append((model.weight.item(), recovery.rate_scale))
    assert found == [(10.0, 0.5), (0.0, 0.25), (0.0, 0.125)]


def test_a_copy_can_be_gone_back_to_twice():
    """Steps after the first return must not reach into the copy: on the CPU torch goes on in the tensors of a state."""
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = TrainingState(model, {"optimizer": optimizer})

    def step() -> None:
        optimizer.zero_grad()
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()

    step()
    copy = state.capture()
    found = []
    for _ in range(2):
        state.restore(copy)
        found.append((model.weight.item(), optimizer.state[model.weight]["momentum_buffer"].item()))
        step()
    assert found[0] == found[1]
    assert found[0][1] == 1.0


def with_scaler(trainer: Trainer, exponent: int, **options: float) -> torch.amp.GradScaler:
    """Give a trainer the loss scaler of fp16 in single precision, where the CPU is a hundred times faster."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**exponent, **options)
    trainer._scaler = trainer._gradients._scaler = scaler
    return scaler


@pytest.mark.skipif(not hasattr(getattr(torch, "amp", None), "GradScaler"), reason="this torch scales on GPUs only")
def test_steps_that_overflow_under_the_loss_scaler_are_left_out_and_counted(tmp_path: Path):
    """The scale begins so high that gradients overflow, and is halved until they do not."""
    cfg = config()
    model = build(cfg)
    before = model.head.cls_score.bias.detach().clone()
    model.loss_normalizer = 1.0  # makes gradients large: 2**127 is the largest scale that single precision has
    trainer = trainer_of(model, cfg, draw_set(tmp_path))
    with_scaler(trainer, 127, backoff_factor=2.0**-40)
    steps = trainer.steps()
    assert not is_finite(next(steps).gradient_norm)
    assert trainer.skipped_steps == 1
    assert torch.equal(model.head.cls_score.bias, before)
    assert is_finite(next(steps).gradient_norm)
    assert trainer.skipped_steps == 1
    assert not torch.equal(model.head.cls_score.bias, before)
    assert trainer.state()["skipped_steps"] == 1


@pytest.mark.skipif(not hasattr(getattr(torch, "amp", None), "GradScaler"), reason="this torch scales on GPUs only")
def test_a_scaler_that_finds_no_scale_is_a_failure_like_any_other(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cfg = config()
    model = build(cfg)
    model.loss_normalizer = 1.0  # makes gradients large: 2**127 is the largest scale that single precision has
    trainer = trainer_of(model, cfg, draw_set(tmp_path))
    with_scaler(trainer, 127, backoff_factor=0.9999)
    trainer._skipped_in_a_row = 28  # of thirty
    steps = trainer.steps()
    next(steps)
    next(steps)
    assert trainer.skipped_steps == 2
    assert not caplog.messages
    next(steps)
    assert "step 3: the norm of the gradient is" in caplog.text
