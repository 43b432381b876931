"""Two processes that share a batch take the same step as one that has it alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from tests.training_parts import build, config, draw_set, trainer_of

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
RATE = 0.1

_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
from tests.unit.test_two_processes import after_a_step
from ymir_detectron2.training import processes
torch.set_num_threads(1)
processes.join(torch.device("cpu"))
torch.save(after_a_step(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3])
processes.leave()
"""


def after_a_step(folder: Path, accumulate: int) -> dict[str, torch.Tensor]:
    """Pictures of one size, since each process pads its own; no clipping: the update is a tenth of the gradient."""
    cfg = config(SOLVER__CLIP_GRADIENTS__ENABLED=False, SOLVER__BASE_LR=RATE, SOLVER__WEIGHT_DECAY=0.0)
    model = build(cfg)
    next(trainer_of(model, cfg, draw_set(folder, [(64, 96)] * 4), accumulate=accumulate).steps())
    return model.state_dict()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def together(folder: Path, accumulate: int) -> list[dict[str, torch.Tensor]]:
    variables = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    started, outs = [], []
    for rank in "01":
        own = folder / f"{rank} in {accumulate}"
        own.mkdir()
        outs.append(own / "out.pt")
        code = _PROCESS.format(root=str(PROJECT_DIR))
        command = [sys.executable, "-c", code, str(own), str(accumulate), str(outs[-1])]
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
