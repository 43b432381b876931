"""What a step changes in memory: captured without shared memory, restored twice, checked where it comes from a file."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ymir_detectron2.errors import ModelError
from ymir_detectron2.retinanet.checkpoint import read_content, write_content
from ymir_detectron2.training.checkpointing import restoring
from ymir_detectron2.training.training_state import TrainingState, copy_to_cpu, random_state, set_random_state


def test_a_captured_state_can_be_restored_twice():
    """Steps after the first return must not reach into the copy: on the CPU torch continues in the given tensors."""
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = TrainingState(model, {"optimizer": optimizer, "scaler": None})

    def step() -> None:
        optimizer.zero_grad()
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()

    step()
    captured = state.capture()
    assert set(captured) == {"optimizer", "model", "loss_normalizer"}
    restored = []
    for _ in range(2):
        state.restore(captured)
        restored.append((model.weight.item(), optimizer.state[model.weight]["momentum_buffer"].item()))
        step()
    assert restored[0] == restored[1]
    assert restored[0][1] == 1.0


def test_copies_share_no_memory():
    original: dict[str, Any] = {"tensor": torch.zeros(2), "list": [torch.zeros(1), (1, "a")], "none": None}
    copy = copy_to_cpu(original)
    original["tensor"].fill_(1)
    original["list"][0].fill_(1)
    assert copy["tensor"].tolist() == [0, 0]
    assert copy["list"][0].tolist() == [0]
    assert copy["list"][1] == [1, "a"]
    assert copy["none"] is None


def test_random_generators_continue_from_a_file_that_is_read_without_running_code(tmp_path: Path):
    def draw() -> tuple[float, float, float]:
        return float(torch.rand(1)), float(np.random.rand()), random.random()

    write_content(tmp_path / "state.pth", random_state())
    expected = draw()
    draw()
    set_random_state(read_content(tmp_path / "state.pth"))
    assert draw() == expected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"numpy": (10**9,)}, id="far behind the numbers, which numpy would read"),
        pytest.param({"numpy": (-1,)}, id="before the numbers"),
        pytest.param({"numpy": ("a",)}, id="text"),
        pytest.param({"keys": torch.zeros(3, dtype=torch.int64)}, id="three numbers"),
        pytest.param({"python": (3, (1, 2), None)}, id="two numbers of python"),
        pytest.param({"torch": torch.zeros(4, dtype=torch.uint8)}, id="four bytes of torch"),
    ],
)
def test_a_random_state_out_of_range_is_damage(tmp_path: Path, changes: dict[str, Any]):
    """A position of a billion in numpy's state killed the process at the next random number."""
    state = random_state()
    keys, position, *rest = state["numpy"]
    state["numpy"] = [changes.get("keys", keys), *changes.get("numpy", (position,)), *rest]
    state.update({name: changes[name] for name in ("python", "torch") if name in changes})
    with pytest.raises(ModelError, match=r"step_1\.pth: is damaged"), restoring(tmp_path / "step_1.pth"):
        set_random_state(state)
    np.random.rand()


def test_momentum_that_does_not_fit_is_found_behind_the_loading(tmp_path: Path):
    """torch compares no shapes: the first step would fail, at every start."""
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = TrainingState(model, {"optimizer": optimizer})
    captured = state.capture()
    captured["optimizer"]["state"] = {0: {"momentum_buffer": torch.zeros(1, 2)}}
    state.restore(captured)
    state.require_sound()
    captured["optimizer"]["state"] = {0: {"momentum_buffer": torch.zeros(3)}}
    state.restore(captured)
    with pytest.raises(ValueError, match="momentum_buffer does not fit its parameter"):
        state.require_sound()
