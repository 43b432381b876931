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
from ymir_detectron2.launch import cause_of_death, plan, run_step
from ymir_detectron2.stop_signal import StopSignal


@pytest.fixture
def task(ymir_tree: MakeTree) -> Task:
    return load_task(ymir_tree().env_file)


def flags(task: Task, training: bool, mining: bool, infer: bool, gpu_ids: tuple[int, ...] | None = ()) -> Task:
    return dataclasses.replace(
        task, run_training=training, run_mining=mining, run_infer=infer, gpu_ids=gpu_ids
    )  # fmt: skip


def with_config(task: Task, **values: object) -> Task:
    return dataclasses.replace(task, config={**task.config, **values})


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


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, True)], ids=["training", "looking"])
@pytest.mark.parametrize(
    ("gpu_ids", "args_options", "processes"),
    [(None, "", 1), ((), "", 1), ((0,), "", 1), ((0, 1, 3), "", 3), ((0, 1), "--num-gpus 1", 1),
     ((), "--num-gpus 2", 2), (None, None, 1), (None, "--num-gpus 4", 4)],
)  # fmt: skip
def test_every_step_gets_one_process_per_gpu(
    task: Task,
    wanted: tuple[bool, bool, bool],
    gpu_ids: tuple[int, ...] | None,
    args_options: str | None,
    processes: int,
):
    task = with_config(flags(task, *wanted, gpu_ids), args_options=args_options)
    assert {step.processes for step in plan(task)} == {processes}


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_more_processes_than_gpus(task: Task, wanted: tuple[bool, bool, bool]):
    task = with_config(flags(task, *wanted, (0, 1)), args_options="--num-gpus 3")
    with pytest.raises(ConfigError, match=r"--num-gpus 3 is more than gpu_id names \(2\)"):
        plan(task)


def test_every_step_knows_where_machines_meet(task: Task):
    flag = "--num-machines 3 --machine-rank 2 --dist-url tcp://10.0.0.1:29500"
    steps = plan(with_config(flags(task, False, True, True), args_options=flag))
    assert [(step.options.num_machines, step.options.machine_rank) for step in steps] == [(3, 2)] * 2
    assert {step.options.meeting_place for step in steps} == {("10.0.0.1", 29500)}


@pytest.mark.parametrize(
    ("algorithm", "share"),
    [(None, 0.98), ("", 0.98), ("cald", 0.98), (5, 0.98), ("random", 0.02), (" Random\n", 0.02)],
)
def test_whoever_looks_at_the_pictures_has_the_progress(task: Task, algorithm: object, share: float):
    steps = plan(with_config(flags(task, False, True, True), mining_algorithm=algorithm))
    assert [(step.first, step.last) for step in steps] == [(0.0, share), (share, 1.0)]


@pytest.mark.parametrize(
    ("script", "status", "code", "words"),
    [
        ("ymir_train.py", -9, 300103, "lower batch_size or num_workers, or give the container more memory; finished"),
        ("ymir_mining.py", -9, 300103, "memory; start the task again on the same /out: finished pictures are kept"),
        ("ymir_infer.py", -11, 160004, "P crashed (SIGSEGV)"),
        ("ymir_infer.py", 3, 160004, "P ended with exit status 3 and gave no reason"),
    ],
)
def test_what_is_said_about_a_death(script: str, status: int, code: int, words: str):
    error = cause_of_death(script, "P", status)
    assert error.code == code
    assert words in str(error)


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
    [("A.B 'x", "close the quotation"), ("A.B", "has no value"), ("--eval-only", "--eval-only is not for this")],
)
def test_args_options_that_are_no_pairs(text: str, finding: str):
    with pytest.raises(ConfigError, match=finding):
        parse_args_options(text)
