"""The running mean of the weights, by hand."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from ymir_detectron2.training.best import Patience
from ymir_detectron2.training.ema import WeightAverage


def averaged(model: nn.Module, average: WeightAverage) -> float:
    with average.in_place():
        return model.weight.item()


def test_the_mean_follows_quickly_at_first_and_then_by_its_decay():
    """Start 0, weights 10, 20, 30: at most 1/10, then 2/11, then 3/12 = 0.25 of the mean stay, but no more than 0.2."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, 0.2)
    expected = 0.0
    for weight, keep in ((10.0, 1 / 10), (20.0, 2 / 11), (30.0, 0.2)):
        nn.init.constant_(model.weight, weight)
        average.update()
        expected = keep * expected + (1 - keep) * weight
        assert averaged(model, average) == pytest.approx(expected)
        assert model.weight.item() == weight, "outside of the block the model has its own weights"


def test_running_statistics_are_averaged_and_counters_are_not():
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.5)
    model.running_mean.fill_(8.0)
    model.num_batches_tracked.fill_(7)
    average.update()
    with average.in_place():
        assert model.running_mean.item() == pytest.approx(0.9 * 8.0)
        assert int(model.num_batches_tracked) == 7


def test_an_error_in_the_block_puts_the_weights_back():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    average = WeightAverage(model, 0.5)
    nn.init.constant_(model.weight, 3.0)
    seen = []
    with contextlib.suppress(KeyError), average.in_place():
        seen.append(model.weight.item())
        raise KeyError
    assert seen == [1.0]
    assert model.weight.item() == 3.0


def test_a_restored_mean_goes_on_alike():
    model = nn.Linear(1, 1, bias=False)
    first, second = WeightAverage(model, 0.9), WeightAverage(model, 0.9)
    for weight in (1.0, 2.0):
        nn.init.constant_(model.weight, weight)
        first.update()
    second.load_state_dict(first.state_dict())
    nn.init.constant_(model.weight, 5.0)
    first.update()
    second.update()
    assert averaged(model, first) == averaged(model, second)


@pytest.mark.parametrize(
    ("patience", "scores", "over"),
    [
        pytest.param(0, [0.5, 0.4, 0.3, 0.2], False, id="never"),
        pytest.param(2, [0.5, 0.4, 0.6, 0.5], False, id="one without a better one"),
        pytest.param(2, [0.5, 0.4, 0.4], True, id="two"),
        pytest.param(2, [0.0, 0.0, 0.0], True, id="an equal one is no better one"),
        pytest.param(1, [0.1, 0.2, 0.3], False, id="ever better"),
    ],
)
def test_patience_counts_evaluations_since_the_best(patience: int, scores: list[float], over: bool):
    counter = Patience(patience)
    for score in scores:
        counter.note(score)
    assert counter.is_over is over
    again = Patience(patience)
    again.load_state_dict(counter.state_dict())
    assert again.is_over is over


def test_the_mean_has_a_file_form():
    model = nn.Linear(2, 1)
    state = WeightAverage(model, 0.5).state_dict()
    assert state["steps"] == 0
    torch.testing.assert_close(state["means"]["weight"], model.weight.detach())
