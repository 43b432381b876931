"""What a state has to have in common with the one that would be written now."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from ymir_detectron2.training.state_check import require_buffers_fit, require_like

LIKE: dict[str, Any] = {
    "step": 0, "best": -1.0, "is_over": False, "name": "a", "nothing": None, "points": [], "options": {},
    "model": {"weight": torch.zeros(2, 3)}, "groups": [{"lr": 0.1, "params": [0, 1]}], "state": (3, (1, 2), None),
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"more": 1}, {"best": 1}, {"nothing": "x"}, {"points": [1, 2]}, {"options": {"a": 1}},
        {"state": [3, [1, 2], 0.5]}, {"model": {"weight": torch.ones(2, 3), "bias": "x"}},
    ],
    ids=str,
)  # fmt: skip
def test_values_may_differ_and_parts_may_come_in_addition(changes: dict[str, Any]):
    require_like({**LIKE, **changes}, LIKE)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"step": "3"}, "state.step is str, not int"),
        ({"step": True}, "state.step is bool, not int"),
        ({"step": -1}, "state.step is out of range"),
        ({"step": 2**70}, "state.step is out of range"),
        ({"step": 0.5}, "state.step is float, not int"),
        ({"best": math.nan}, "state.best is not finite"),
        ({"is_over": 1}, "state.is_over is int, not bool"),
        ({"name": b"a"}, "state.name is bytes, not str"),
        ({"points": {}}, "state.points is not a list"),
        ({"options": []}, "state.options is list, not dict"),
        ({"model": {}}, "state.model.weight is missing"),
        ({"model": {"weight": torch.zeros(3, 2)}}, "state.model.weight is not a tensor of torch.float32 and shape"),
        ({"model": {"weight": torch.zeros(2, 3).double()}}, "state.model.weight is not a tensor"),
        ({"model": {"weight": torch.full((2, 3), math.inf)}}, "state.model.weight is not finite"),
        ({"groups": []}, "state.groups is not a list of the right length"),
        ({"groups": [{"lr": 0.1, "params": [0, "1"]}]}, "state.groups.0.params.1 is str, not int"),
        ({"state": (3, (1,), None)}, "state.state.1 is not a list of the right length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_structure_is_found(changes: dict[str, Any], finding: str):
    with pytest.raises(ValueError, match=f"^{re.escape(finding)}"):
        require_like({**LIKE, **changes}, LIKE)
    with pytest.raises(ValueError, match="missing"):
        require_like({name: value for name, value in LIKE.items() if name != next(iter(changes))}, LIKE)


def test_a_training_may_go_on_on_another_device():
    like = {"scaler": {"scale": 1.0}, "cuda": torch.zeros(4, dtype=torch.uint8)}
    require_like({}, like)
    require_like({"cuda": None}, like)
    with pytest.raises(ValueError, match=r"scaler\.scale is missing"):
        require_like({"scaler": {}}, like)


def test_a_buffer_that_the_network_itself_keeps_infinite_is_allowed():
    mask = torch.tensor([0.0, -math.inf])
    require_like({"mask": mask}, {"mask": mask.clone()})


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"momentum_buffer": torch.zeros(3)}, "does not fit"),
        ({"momentum_buffer": torch.full((2,), math.nan)}, "does not fit"),
        ({"momentum_buffer": 0.5}, "momentum_buffer is float"),
        ({"step": "3"}, "step is str"),
    ],
    ids=str,
)
def test_buffers_of_an_optimizer_have_the_shape_of_their_parameters(values: dict[str, Any], finding: str):
    parameter = nn.Parameter(torch.zeros(2))
    require_buffers_fit({parameter: {"momentum_buffer": torch.ones(2), "exp_avg": None, "step": 3}, 7: "x"})
    require_buffers_fit({parameter: {"step": torch.tensor(3.0)}})
    with pytest.raises(ValueError, match=finding):
        require_buffers_fit({parameter: values})
