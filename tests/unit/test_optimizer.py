"""SGD's parameter groups and gradient clipping, with expected values computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.training.optimizer import build_optimizer, clip_gradients, gradient_norm


def config(**solver: object) -> RetinaNetConfig:
    """The defaults, with keys of SOLVER; a double underscore stands for a dot."""
    values = {f"SOLVER.{key.replace('__', '.')}": value for key, value in solver.items()}
    return RetinaNetConfig.default().merged({"SOLVER.BASE_LR": 0.1, "SOLVER.WEIGHT_DECAY": 0.5, **values}, "test")


class Network(nn.Module):
    """A layer of each kind, one of them frozen and one nested."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.batch_norm = nn.BatchNorm2d(2)
        self.block = nn.Sequential(nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 1, bias=False))
        self.frozen = nn.Conv2d(2, 2, 1).requires_grad_(False)


WEIGHTS = ("conv.weight", "block.1.weight")
NORM_WEIGHTS = ("batch_norm.weight", "block.0.weight")
NORM_BIASES = ("batch_norm.bias", "block.0.bias")


def groups_of(cfg: RetinaNetConfig) -> dict[tuple[float, float], set[str]]:
    """Names of the parameters of each group, by learning rate and weight decay."""
    model = Network()
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        (group["lr"], group["weight_decay"]): {names[parameter] for parameter in group["params"]}
        for group in build_optimizer(cfg, model).param_groups
    }


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        pytest.param(
            {},
            {(0.1, 0.5): {*WEIGHTS, "conv.bias"}, (0.1, 0.0): {*NORM_WEIGHTS, *NORM_BIASES}},
            id="by default a norm layer does not decay, a bias does",
        ),
        pytest.param(
            {"WEIGHT_DECAY_NORM": 0.5},
            {(0.1, 0.5): {*WEIGHTS, "conv.bias", *NORM_WEIGHTS, *NORM_BIASES}},
            id="equal values make one group",
        ),
        pytest.param(
            {"WEIGHT_DECAY_NORM": 0.25},
            {(0.1, 0.5): {*WEIGHTS, "conv.bias"}, (0.1, 0.25): {*NORM_WEIGHTS, *NORM_BIASES}},
            id="norm layers decay by their own value, weight and bias",
        ),
        pytest.param(
            {"WEIGHT_DECAY_BIAS": 0.125, "WEIGHT_DECAY_NORM": 0.25},
            {
                (0.1, 0.5): {*WEIGHTS},
                (0.1, 0.25): {*NORM_WEIGHTS},
                (0.1, 0.125): {"conv.bias", *NORM_BIASES},
            },
            id="the bias of a norm layer is a bias first",
        ),
        pytest.param(
            {"WEIGHT_DECAY_BIAS": 0.0},
            {(0.1, 0.5): {*WEIGHTS}, (0.1, 0.0): {"conv.bias", *NORM_WEIGHTS, *NORM_BIASES}},
            id="0 is a value, not the absence of one",
        ),
        pytest.param(
            {"BIAS_LR_FACTOR": 2.0},
            {
                (0.1, 0.5): {*WEIGHTS},
                (0.2, 0.5): {"conv.bias"},  # 0.1 * 2
                (0.1, 0.0): {*NORM_WEIGHTS},
                (0.2, 0.0): {*NORM_BIASES},
            },
            id="biases learn at their own rate, those of norm layers too",
        ),
    ],
)
def test_parameters_are_grouped_by_learning_rate_and_weight_decay(solver, expected):
    assert groups_of(config(**solver)) == expected


def test_every_norm_layer_of_the_networks_counts_as_one():
    layers = [nn.BatchNorm2d(2), nn.SyncBatchNorm(2), nn.GroupNorm(1, 2)]
    (group,) = build_optimizer(config(), nn.Sequential(*layers)).param_groups
    assert group["weight_decay"] == 0.0
    assert len(group["params"]) == 6


def test_frozen_parameters_are_left_out():
    model = Network()
    groups = build_optimizer(config(), model).param_groups
    optimized = {id(parameter) for group in groups for parameter in group["params"]}
    assert optimized == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


def test_many_layers_make_no_more_groups_than_one():
    model = nn.Sequential(*(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)) for _ in range(20)))
    assert len(build_optimizer(config(BIAS_LR_FACTOR=2.0), model).param_groups) == 4


def test_each_group_keeps_its_base_learning_rate():
    """The schedule multiplies `initial_lr`, see `set_learning_rate`."""
    groups = build_optimizer(config(BIAS_LR_FACTOR=2.0), Network()).param_groups
    assert [group["initial_lr"] for group in groups] == [group["lr"] for group in groups]


@pytest.mark.parametrize(
    ("nesterov", "expected"),
    [
        # gradient 1, momentum 0.5: velocities 1, then 0.5 * 1 + 1 = 1.5
        pytest.param(False, 10 - 0.1 * 1 - 0.1 * 1.5, id="plain"),
        # steps of gradient + 0.5 * velocity: 1 + 0.5 * 1, then 1 + 0.5 * 1.5
        pytest.param(True, 10 - 0.1 * 1.5 - 0.1 * 1.75, id="nesterov"),
    ],
)
def test_two_steps_with_momentum(nesterov, expected):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 10.0)
    optimizer = build_optimizer(config(MOMENTUM=0.5, NESTEROV=nesterov, WEIGHT_DECAY=0.0), layer)
    for _ in range(2):
        layer.weight.grad = torch.ones(1, 1)
        optimizer.step()
    assert layer.weight.item() == pytest.approx(expected)


def test_a_step_decays_weights_but_not_norm_layers():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 4.0)
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(config(), model).step()
    # 4 - 0.1 * (0 + 0.5 * 4)
    assert [parameter.item() for parameter in model.parameters()] == pytest.approx([3.8, 4.0, 4.0])


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        pytest.param({"ENABLED": False}, [[3.0, -4.0], [0.5, 0.0]], id="off"),
        pytest.param({"CLIP_TYPE": "value", "CLIP_VALUE": 2.0}, [[2.0, -2.0], [0.5, 0.0]], id="by value"),
        # norms 5 and 0.5; only the first is above 2.5: times 2.5 / 5. A common norm would change both
        pytest.param({"CLIP_TYPE": "norm", "CLIP_VALUE": 2.5}, [[1.5, -2.0], [0.5, 0.0]], id="by norm"),
        # |3| + |-4| = 7: times 3.5 / 7
        pytest.param(
            {"CLIP_TYPE": "norm", "CLIP_VALUE": 3.5, "NORM_TYPE": 1.0}, [[1.5, -2.0], [0.5, 0.0]], id="by sum"
        ),
        # max(|3|, |-4|) = 4: times 1 / 4
        pytest.param(
            {"CLIP_TYPE": "norm", "CLIP_VALUE": 1.0, "NORM_TYPE": float("inf")},
            [[0.75, -1.0], [0.5, 0.0]],
            id="by largest",
        ),
        pytest.param({"CLIP_TYPE": "norm", "CLIP_VALUE": 5.5}, [[3.0, -4.0], [0.5, 0.0]], id="below the limit"),
    ],
)
def test_gradients_are_clipped_parameter_by_parameter(clip, expected):
    cfg = config(**{f"CLIP_GRADIENTS__{key}": value for key, value in {"ENABLED": True, **clip}.items()})
    parameters = [parameter_with([3.0, -4.0]), parameter_with(None), parameter_with([0.5, 0.0])]
    clip_gradients(cfg, parameters)
    assert parameters[1].grad is None
    # 1e-5: torch divides by the norm + 1e-6
    for parameter, values in zip((parameters[0], parameters[2]), expected):
        assert parameter.grad.tolist() == pytest.approx(values, rel=1e-5)


def test_nothing_is_clipped_while_clipping_is_off():
    parameter = parameter_with([30.0])
    clip_gradients(config(), [parameter])
    assert parameter.grad.tolist() == [30.0]


def test_gradient_norm_is_that_of_all_gradients_together():
    parameters = [parameter_with([2.0, 3.0]), parameter_with(None), parameter_with([6.0])]
    assert gradient_norm(parameters).item() == pytest.approx(7.0)  # sqrt(4 + 9 + 36)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradient_norm_shows_a_gradient_that_is_not_finite(bad):
    assert not torch.isfinite(gradient_norm([parameter_with([1.0]), parameter_with([0.0, bad])]))


def parameter_with(gradient: list[float] | None) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(len(gradient or [0.0])))
    parameter.grad = None if gradient is None else torch.tensor(gradient)
    return parameter
