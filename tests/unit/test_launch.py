"""A task as steps, args_options as pairs, a stop as a wish."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from ymir_detectron2.args_options import parse_args_options
from ymir_detectron2.contract.task import Task, load_task
from ymir_detectron2.errors import ConfigError, StoppedError
from ymir_detectron2.launch import plan, run_step
from ymir_detectron2.stop_signal import StopSignal


@pytest.fixture
def task(ymir_tree: MakeTree) -> Task:
    return load_task(ymir_tree().env_file)


def flags(task: Task, training: bool, mining: bool, infer: bool, gpu_ids: tuple[int, ...] | None = ()) -> Task:
    return dataclasses.replace(
        task, run_training=training, run_mining=mining, run_infer=infer, gpu_ids=gpu_ids
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "scripts"),
    [
        ((True, False, False), ["ymir_train.py"]),
        ((False, True, False), ["ymir_mining.py"]),
        ((False, False, True), ["ymir_infer.py"]),
        ((False, True, True), ["ymir_mining.py", "ymir_infer.py"]),
    ],
)
def test_steps_share_the_progress_without_gap(task: Task, wanted: tuple[bool, bool, bool], scripts: list[str]):
    steps = plan(flags(task, *wanted))
    assert [step.script for step in steps] == scripts
    assert steps[0].first == 0.0
    assert steps[-1].last == 1.0
    assert all(before.last == after.first for before, after in zip(steps, steps[1:]))


@pytest.mark.parametrize("wanted", [(False, False, False), (True, True, False), (True, False, True), (True,) * 3])
def test_flags_that_contradict_each_other(task: Task, wanted: tuple[bool, bool, bool]):
    with pytest.raises(ConfigError, match=r"^env.yaml: "):
        plan(flags(task, *wanted))


@pytest.mark.parametrize(("gpu_ids", "processes"), [(None, 1), ((), 1), ((0,), 1), ((0, 1, 3), 3)])
def test_training_gets_one_process_per_gpu(task: Task, gpu_ids: tuple[int, ...] | None, processes: int):
    assert plan(flags(task, True, False, False, gpu_ids))[0].processes == processes


def test_a_stop_is_remembered_and_no_further_step_begins(task: Task):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = StopSignal().install()
    try:
        assert not stop.requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested()
        with pytest.raises(StoppedError, match=r"stopped by SIGTERM before ymir_train.py began"):
            run_step(plan(task)[0], task, Path("env.yaml"), stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("  ", {}),
        ("SOLVER.GAMMA 0.5", {"SOLVER.GAMMA": "0.5"}),
        ("SOLVER.STEPS '(60, 80)'  A.B \"c d\"", {"SOLVER.STEPS": "(60, 80)", "A.B": "c d"}),
        ("MODEL.WEIGHTS ''", {"MODEL.WEIGHTS": ""}),
        ("A.B 1 A.B 2", {"A.B": "2"}),
        ("A.B -1", {"A.B": "-1"}),
    ],
)
def test_args_options_become_pairs(text: str, pairs: dict[str, str]):
    assert parse_args_options(text).values == pairs


@pytest.mark.parametrize(
    ("text", "finding"),
    [("A.B 'x", "close the quotation"), ("A.B", "has no value"), ("--resume", "--resume is not for this executor")],
)
def test_args_options_that_are_no_pairs(text: str, finding: str):
    with pytest.raises(ConfigError, match=finding):
        parse_args_options(text)


