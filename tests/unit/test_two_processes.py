"""Two processes that share a batch take the same step as one that has it alone."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training_parts import build, config, draw_set, trainer_of
from tests.unit.test_training_run import nothing_found, run
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.evaluation.metrics import Evaluation
from ymir_detectron2.retinanet.checkpoint import read_content
from ymir_detectron2.training import processes
from ymir_detectron2.training.recovery import Recovery
from ymir_detectron2.training.state import TrainingState
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
torch.save(test_two_processes.everything(Path(sys.argv[1])), sys.argv[2])
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


def a_stopped_run(folder: Path, step: int) -> dict[str, Any]:
    """One evaluation of the weights of the step before and one of their mean; then process 1 alone is told to stop.

    With batch normalisation, whose statistics are those of a process, and pictures of several sizes.
    """
    found: list[dict[str, torch.Tensor]] = []

    def keep(model: torch.nn.Module) -> Evaluation:
        found.append({name: value.clone() for name, value in model.state_dict().items()})
        return nothing_found(folder)(model)

    cfg = config(
        MODEL__RESNETS__NORM="BN", SOLVER__MAX_ITER=2 * step, TEST__EVAL_PERIOD=step - 1, SOLVER__CHECKPOINT_PERIOD=0
    )
    try:
        run(folder, draw_set(folder), evaluate=keep, cfg=cfg, ema=0.5, stop_after=step * processes.rank())
    except StoppedError as error:
        said = str(error)
    return {"measured": found, "said": said, "states": sorted(path.name for path in folder.glob("resume/*"))}


def said_of_a_recovery(finding: str) -> list[str]:
    """The log of this process when its finding is this one."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger(Recovery.__module__).addHandler(handler)
    recovery = Recovery(TrainingState(torch.nn.Linear(1, 1), {}), eval_period=1)
    recovery.note_good(1)
    recovery.recover(2, finding)
    return said


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def everything(folder: Path) -> dict[str, Any]:
    """What one of the two processes returns: starting them is what takes time."""
    for name in ("step", "parts", "losses", "stopped"):
        (folder / name).mkdir(parents=True)
    return {
        "step": after_a_step(folder / "step", 1),
        "parts": after_a_step(folder / "parts", 2),
        "losses": validation_losses(folder / "losses", 3),
        "warnings": said_of_a_recovery("NaN" * processes.rank()),
        **a_stopped_run(folder / "stopped", 3),
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """By rank."""
    folder = tmp_path_factory.mktemp("both")
    variables = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    started = []
    for rank in "01":
        code = _PROCESS.format(root=str(PROJECT_DIR))
        command = [sys.executable, "-c", code, str(folder / rank), str(folder / f"{rank}.pt")]
        started.append(subprocess.Popen(command, env={**variables, "RANK": rank, "LOCAL_RANK": rank}))
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    return [read_content(folder / f"{rank}.pt") for rank in "01"]


def test_a_step_of_two_processes_is_that_of_one(tmp_path: Path, both: list[dict[str, Any]]):
    alone = after_a_step(tmp_path, 1)
    first, second = (process["step"] for process in both)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-5, msg=name)
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=0, msg=name)


def test_in_parts_they_exchange_the_gradient_of_all_parts(tmp_path: Path, both: list[dict[str, Any]]):
    """One picture at a time, group normalisation blows up the rounding to some 1e-4, of steps of 1e-2."""
    alone = after_a_step(tmp_path, 1)
    first, second = (process["parts"] for process in both)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-3, msg=name)
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=0, msg=name)


def test_the_validation_set_is_shared_and_its_losses_are_the_same_everywhere(
    tmp_path: Path, both: list[dict[str, Any]]
):
    """Three pictures: one process has two of them."""
    alone = validation_losses(tmp_path, 3)
    first, second = (process["losses"] for process in both)
    assert first == second == pytest.approx(alone, rel=1e-6)


def test_all_processes_measure_the_weights_that_are_packed(both: list[dict[str, Any]]):
    first, second = (process["measured"] for process in both)
    assert len(first) == len(second) == 2
    for packed, other in zip(first, second):
        assert any("running_var" in name for name in packed)
        for name, value in packed.items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=0, msg=name)


def test_a_stop_that_reaches_one_process_ends_all_behind_the_same_step(both: list[dict[str, Any]]):
    """Else one of them stops in the middle of the next step, whose state would not go on exactly."""
    assert [process["said"] for process in both] == ["stopped on request after step 3 of 6"] * 2
    assert both[0]["states"] == ["step_0000002.pth", "step_0000003.pth"]


def test_what_one_process_finds_is_said_once_for_all(both: list[dict[str, Any]]):
    """The second one has found it, and the first one writes the log."""
    first, second = (process["warnings"] for process in both)
    assert [line.split(";")[0] for line in first] == ["step 2: NaN"]
    assert second == []
