"""Two processes that share a batch take the same step as one that has all of it."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_training import (
    PROJECT_DIR,
    build,
    config,
    draw_set,
    nothing_detected,
    run_training,
    trainer_of,
    validation_loss,
)
from tests.unit.test_evaluate import PerfectDetector, job_over
from ymir_detectron2 import distributed
from ymir_detectron2.errors import ConfigError, StoppedError
from ymir_detectron2.evaluation.metrics import Evaluation
from ymir_detectron2.retinanet.checkpoint import read_content
from ymir_detectron2.training.evaluate import evaluate_detector
from ymir_detectron2.training.job import StageWeights
from ymir_detectron2.training.nan_recovery import NanRecovery
from ymir_detectron2.training.training_state import TrainingState
from ymir_detectron2.training.validation_loss import ValidationLoss, retinanet_loss_sums

TIMEOUT_S = 600
"""For what takes some 10 s on an idle machine: only processes that wait for each other for ever reach it."""

_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
from tests.unit import test_distributed
from ymir_detectron2 import distributed
distributed.init_process_group(torch.device("cpu"))
torch.save(test_distributed.everything(Path(sys.argv[1])), sys.argv[2])
distributed.destroy_process_group()
"""


def after_a_step(folder: Path, accumulate: int) -> dict[str, torch.Tensor]:
    """Images of one size, since each process pads its own; no clipping: the update is a tenth of the gradient."""
    cfg = config(SOLVER__CLIP_GRADIENTS__ENABLED=False, SOLVER__BASE_LR=0.1, SOLVER__WEIGHT_DECAY=0.0)
    model = build(cfg)
    trainer_of(model, cfg, draw_set(folder, [(64, 96)] * 4), accumulate=accumulate).train_step(1)
    return model.state_dict()


def validation_losses(folder: Path, num_images: int) -> dict[str, float]:
    return validation_loss(build(config()), config(), draw_set(folder, [(64, 96)] * num_images)).measure()


def a_stopped_run(folder: Path, step: int) -> dict[str, Any]:
    """One evaluation of the weights of the step before and one of their EMA; then process 1 only is asked to stop.

    With batch normalisation, whose statistics are those of a process, and images of several sizes. Process 0 takes its
    time to save what was not evaluated.
    """
    evaluated: list[dict[str, torch.Tensor]] = []
    saved_s: list[float] = []

    def save_slowly(stage: StageWeights) -> None:
        if stage.evaluation is None:
            time.sleep(1)
            saved_s.append(time.monotonic())

    def keep(model: torch.nn.Module) -> Evaluation:
        evaluated.append({name: value.clone() for name, value in model.state_dict().items()})
        return nothing_detected(folder)

    cfg = config(
        MODEL__RESNETS__NORM="BN", SOLVER__MAX_ITER=2 * step, TEST__EVAL_PERIOD=step - 1, SOLVER__CHECKPOINT_PERIOD=0
    )
    with pytest.raises(StoppedError) as stop:
        run_training(
            folder, draw_set(folder), cfg, evaluate=keep, ema=0.5, stop_after=step * distributed.rank(),
            plot=save_slowly,
        )  # fmt: skip
    return {
        "evaluated": evaluated,
        "saved_s": saved_s,
        "ended_s": time.monotonic(),
        "message": str(stop.value),
        "checkpoints": sorted(path.name for path in folder.glob("resume/*")),
    }


def stopped_evaluations(folder: Path) -> list[str]:
    """Both parts of an evaluation, of which process 1 only is asked to stop."""
    data, messages = draw_set(folder), []
    job = dataclasses.replace(job_over(folder, data), stop_requested=lambda: distributed.rank() == 1)
    loss_sums = retinanet_loss_sums(build(config()), torch.device("cpu"), None)
    losses = ValidationLoss(build(config()), config(), data, loss_sums, job.stop_requested)
    for evaluate in (lambda: evaluate_detector(PerfectDetector(data), data, job), losses.measure):
        with pytest.raises(StoppedError) as stop:
            evaluate()
        messages.append(str(stop.value))
    return messages


def moved_ends(folder: Path) -> dict[str, list[float]]:
    """A sum of the weights at each evaluation of a training with a limit, and of one with a plateau.

    In process 1 the steps take four times as long, and the metric rises for ever.
    """
    cfg = config(
        SOLVER__MAX_ITER=9000, SOLVER__STEPS=[6000, 8000], SOLVER__IMS_PER_BATCH=2, TEST__EVAL_PERIOD=3,
        SOLVER__CHECKPOINT_PERIOD=0,
    )  # fmt: skip
    options: dict[str, dict[str, Any]] = {
        "hours": {"max_hours": 0.01, "step_s": 2.0 + 6.0 * distributed.rank()}, "plateau": {"patience": 2},
    }  # fmt: skip
    found: dict[str, list[float]] = {}
    for name, given in options.items():
        sums = found[name] = []

        def evaluate(model: torch.nn.Module, sums: list[float] = sums) -> Evaluation:
            sums.append(float(sum(parameter.sum() for parameter in model.parameters())))
            evaluation = nothing_detected(folder)
            ap50 = 0.5 + 0.01 * distributed.rank() * len(sums)
            return evaluation._replace(metrics=dataclasses.replace(evaluation.metrics, ap50=ap50))

        (folder / name).mkdir()
        run_training(folder / name, draw_set(folder, [(64, 64)] * 2), cfg, evaluate=evaluate, **given)
    return found


def warnings_of_a_recovery(problem: str) -> list[str]:
    """The log of this process if its own problem is this one."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger(NanRecovery.__module__).addHandler(handler)
    recovery = NanRecovery(TrainingState(torch.nn.Linear(1, 1), {}), eval_period=1)
    recovery.snapshot(1)
    recovery.recover(2, problem)
    return messages


def everything(folder: Path) -> dict[str, Any]:
    """What one of the two processes returns: starting them is what takes time."""
    for name in ("step", "micro_batches", "losses", "stopped", "evaluation", "moved"):
        (folder / name).mkdir(parents=True)
    return {
        "gathered": distributed.all_gather_object(distributed.rank() * 10),
        "broadcast": distributed.broadcast_object({"rank": distributed.rank()}),
        "all_reduce_and": [
            distributed.all_reduce_and(holds, torch.device("cpu")) for holds in (True, distributed.rank() == 0)
        ],
        "smallest": distributed.all_reduce_min(5 - distributed.rank(), torch.device("cpu")),
        "moved": moved_ends(folder / "moved"),
        "step": after_a_step(folder / "step", 1),
        "micro_batches": after_a_step(folder / "micro_batches", 2),
        "losses": validation_losses(folder / "losses", 3),
        "warnings": warnings_of_a_recovery("NaN" * distributed.rank()),
        "stopped_evaluations": stopped_evaluations(folder / "evaluation"),
        **a_stopped_run(folder / "stopped", 3),
    }


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes return, by rank."""
    folder = tmp_path_factory.mktemp("both")
    variables = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    code = _PROCESS.format(root=str(PROJECT_DIR))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder / rank), str(folder / f"{rank}.pt")],
            env={**variables, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in "01"
    ]
    try:
        assert [process.wait(timeout=TIMEOUT_S) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [read_content(folder / f"{rank}.pt") for rank in "01"]


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (distributed.rank(), distributed.local_rank(), distributed.world_size()) == (0, 0, 1)
    assert distributed.all_gather_object("a") == ["a"]
    assert distributed.broadcast_object("a") == "a"
    assert distributed.all_reduce_and(True, torch.device("cpu"))
    assert not distributed.all_reduce_and(False, torch.device("cpu"))


def test_objects_and_flags_reach_all_processes(both: list[dict[str, Any]]):
    for process in both:
        assert process["gathered"] == [0, 10]
        assert process["broadcast"] == {"rank": 0}
        assert process["all_reduce_and"] == [True, False]
        assert process["smallest"] == 4


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("step", 1e-5),
        # one image at a time, group normalisation amplifies the rounding to some 1e-4, of steps of 1e-2
        ("micro_batches", 1e-3),
    ],
)
def test_a_step_of_two_processes_is_that_of_one(
    tmp_path: Path, both: list[dict[str, Any]], name: str, tolerance: float
):
    single = after_a_step(tmp_path, 1)
    first, second = (process[name] for process in both)
    for key, value in single.items():
        torch.testing.assert_close(first[key], value, rtol=tolerance, atol=tolerance, msg=key)
        torch.testing.assert_close(second[key], first[key], rtol=0, atol=0, msg=key)


def test_the_validation_set_is_shared_and_its_losses_are_the_same_everywhere(
    tmp_path: Path, both: list[dict[str, Any]]
):
    """Three images: one process has two of them."""
    single = validation_losses(tmp_path, 3)
    first, second = (process["losses"] for process in both)
    assert first == second == pytest.approx(single, rel=1e-6)


def test_all_processes_evaluate_the_weights_that_are_saved(both: list[dict[str, Any]]):
    first, second = (process["evaluated"] for process in both)
    assert len(first) == len(second) == 2
    for saved, other in zip(first, second):
        assert any("running_var" in name for name in saved)
        for name, value in saved.items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=0, msg=name)


def test_a_stop_that_reaches_one_process_ends_all_behind_the_same_step(both: list[dict[str, Any]]):
    """Else one of them stops in the middle of the next step, from whose state no exact resumption is possible."""
    assert [process["message"] for process in both] == ["stopped on request after step 3 of 6"] * 2
    assert both[0]["checkpoints"] == ["step_0000002.pth", "step_0000003.pth"]


def test_all_processes_move_the_end_to_the_same_step(both: list[dict[str, Any]]):
    """By the clock and the metric of the first one. They would wait for each other for ever, or train different models.

    Plateau: evaluations after steps 3, 6 and 9; two decays of a period each.
    """
    first, second = (process["moved"] for process in both)
    assert first == second
    assert len(first["plateau"]) == 5
    assert 6 <= len(first["hours"]) <= 9, "at most sixteen steps, a tenth of which are two: as many between evaluations"


def test_no_process_ends_before_the_work_is_saved(both: list[dict[str, Any]]):
    """Else torch's launcher would kill the one that saves, half a minute after the other has ended."""
    (saved_s,) = both[0]["saved_s"]
    assert both[1]["saved_s"] == []
    assert both[1]["ended_s"] > saved_s


def test_a_stop_that_reaches_one_process_ends_an_evaluation_of_all(both: list[dict[str, Any]]):
    """Else the others wait for its share."""
    assert [process["stopped_evaluations"] for process in both] == [["stopped on request during an evaluation"] * 2] * 2


def test_a_problem_of_one_process_is_logged_once(both: list[dict[str, Any]]):
    """It is that of the second one; the first one writes the log."""
    first, second = (process["warnings"] for process in both)
    assert [line.split(";")[0] for line in first] == ["step 2: NaN"]
    assert second == []


@pytest.mark.parametrize("place", [{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ""}, {"MASTER_PORT": "x"}, {}], ids=str)
def test_an_environment_without_a_place_to_meet_is_one_sentence(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", **place}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"^environment variables MASTER_ADDR and MASTER_PORT: .*; let start.py or"):
        distributed.init_process_group(torch.device("cpu"))
