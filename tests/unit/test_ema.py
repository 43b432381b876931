"""The exponential moving average of the weights, by hand."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from ymir_detectron2.training.ema import ModelEma


def averaged(model: nn.Module, ema: ModelEma) -> float:
    with ema.applied():
        return model.weight.item()


def test_the_average_follows_quickly_at_first_and_then_by_its_decay():
    """Start 0, weights 10, 20, 30: 1/10, then 2/11, then min(3/12, 0.2) of the old average stay."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = ModelEma(model, 0.2)
    expected = 0.0
    for weight, keep in ((10.0, 1 / 10), (20.0, 2 / 11), (30.0, 0.2)):
        nn.init.constant_(model.weight, weight)
        ema.update()
        expected = keep * expected + (1 - keep) * weight
        assert averaged(model, ema) == pytest.approx(expected)
        assert model.weight.item() == weight, "outside of the block the model has its own weights"


def test_running_statistics_are_averaged_and_counters_are_not():
    model = nn.BatchNorm1d(1)
    ema = ModelEma(model, 0.5)
    model.running_mean.fill_(8.0)
    model.num_batches_tracked.fill_(7)
    ema.update()
    with ema.applied():
        assert model.running_mean.item() == pytest.approx(0.9 * 8.0)
        assert int(model.num_batches_tracked) == 7


def test_an_error_in_the_block_puts_the_weights_back():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    ema = ModelEma(model, 0.5)
    nn.init.constant_(model.weight, 3.0)
    inside = []
    with contextlib.suppress(KeyError), ema.applied():
        inside.append(model.weight.item())
        raise KeyError
    assert inside == [1.0]
    assert model.weight.item() == 3.0


def test_a_restored_average_continues_alike():
    model = nn.Linear(1, 1, bias=False)
    first, second = ModelEma(model, 0.9), ModelEma(model, 0.9)
    for weight in (1.0, 2.0):
        nn.init.constant_(model.weight, weight)
        first.update()
    second.load_state_dict(first.state_dict())
    nn.init.constant_(model.weight, 5.0)
    first.update()
    second.update()
    assert averaged(model, first) == averaged(model, second)


def test_the_state_names_its_tensors():
    model = nn.Linear(2, 1)
    state = ModelEma(model, 0.5).state_dict()
    assert state["steps"] == 0
    torch.testing.assert_close(state["means"]["weight"], model.weight.detach())
