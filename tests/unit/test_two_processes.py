"""Two processes that share a batch take the same step as one that has it alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training_parts import build, config, draw_set, trainer_of
from ymir_detectron2.training.validation_loss import ValidationLoss, retinanet_loss_sums

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
RATE = 0.1

_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
from tests.unit import test_two_processes
from ymir_detectron2.training import processes
torch.set_num_threads(1)
processes.join(torch.device("cpu"))
torch.save(getattr(test_two_processes, sys.argv[4])(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3])
processes.leave()
"""


def after_a_step(folder: Path, accumulate: int) -> dict[str, torch.Tensor]:
    """Pictures of one size, since each process pads its own; no clipping: the update is a tenth of the gradient."""
    cfg = config(SOLVER__CLIP_GRADIENTS__ENABLED=False, SOLVER__BASE_LR=RATE, SOLVER__WEIGHT_DECAY=0.0)
    model = build(cfg)
    next(trainer_of(model, cfg, draw_set(folder, [(64, 96)] * 4), accumulate=accumulate).steps())
    return model.state_dict()


def validation_losses(folder: Path, pictures: int) -> dict[str, float]:
    model = build(config())
    sums = retinanet_loss_sums(model, torch.device("cpu"), None)
    return ValidationLoss(model, config(), draw_set(folder, [(64, 96)] * pictures), sums).measure()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def together(folder: Path, number: int, what: str = "after_a_step") -> list[dict[str, Any]]:
    """What a function of this file returns in each of two processes that call it with `number`."""
    variables = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    started, outs = [], []
    for rank in "01":
        own = folder / f"{rank} in {number}"
        own.mkdir()
        outs.append(own / "out.pt")
        code = _PROCESS.format(root=str(PROJECT_DIR))
        command = [sys.executable, "-c", code, str(own), str(number), str(outs[-1]), what]
        started.append(subprocess.Popen(command, env={**variables, "RANK": rank, "LOCAL_RANK": rank}))
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    return [torch.load(out, weights_only=True) for out in outs]


def test_a_step_of_two_processes_is_that_of_one(tmp_path: Path):
    alone = after_a_step(tmp_path, 1)
    first, second = together(tmp_path, 1)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-5, msg=name)
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=0, msg=name)


def test_in_parts_they_exchange_the_gradient_of_all_parts(tmp_path: Path):
    """One picture at a time, group normalisation blows up the rounding to some 1e-4, of steps of 1e-2."""
    alone = after_a_step(tmp_path, 1)
    first, second = together(tmp_path, 2)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-3, msg=name)
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=0, msg=name)


def test_the_validation_set_is_shared_and_its_losses_are_the_same_everywhere(tmp_path: Path):
    """Three pictures: one process has two of them."""
    alone = validation_losses(tmp_path, 3)
    first, second = together(tmp_path, 3, "validation_losses")
    assert first == second == pytest.approx(alone, rel=1e-6)
