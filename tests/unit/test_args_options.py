"""The flags of detectron2's command line, beside the KEY VALUE pairs that test_launch.py is about."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from ymir_detectron2.args_options import ArgsOptions, parse_args_options
from ymir_detectron2.contract.task import Task, load_task
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.launch import _command, plan


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ArgsOptions({})),
        ("--num-gpus 2", ArgsOptions({}, num_gpus=2)),
        ("--num-gpus=2 A.B 1", ArgsOptions({"A.B": "1"}, num_gpus=2)),
        ("A.B 1 --num-gpus 2 C.D '(1, 2)'", ArgsOptions({"A.B": "1", "C.D": "(1, 2)"}, num_gpus=2)),
        ("--config-file 'my configs/x.yaml'", ArgsOptions({}, config_file="my configs/x.yaml")),
        ("--dist-url auto", ArgsOptions({}, dist_url="auto")),
        ("--resume A.B 1", ArgsOptions({"A.B": "1"}, resume=True)),
        (
            "--num-machines 2 --machine-rank 1 --dist-url tcp://10.0.0.1:29500",
            ArgsOptions({}, num_machines=2, machine_rank=1, dist_url="tcp://10.0.0.1:29500"),
        ),
    ],
)
def test_flags_are_understood_before_and_after_pairs(text: str, options: ArgsOptions):
    assert parse_args_options(text) == options


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("--resume=yes", "--resume takes no value"),
        ("--eval-only A.B 1", "--eval-only is not for this executor"),
        ("--num-gpu 2", "did you mean --num-gpus?"),
        ("--verbose", "known are --num-gpus, --num-machines, --machine-rank, --config-file, --dist-url, --resume and"),
        ("--num-gpus", "--num-gpus has no value"),
        ("--num-gpus 0", "--num-gpus must be a whole number from 1 on, found '0'"),
        ("--num-gpus two", "--num-gpus must be a whole number from 1 on, found 'two'"),
        ("--machine-rank 1", "--machine-rank 1 is not one of --num-machines 1"),
        ("--num-machines 2", "several machines need --dist-url"),
        ("--num-machines 2 --dist-url auto", "several machines need --dist-url"),
        ("--dist-url file:///tmp/x", "must be tcp://HOST:PORT, found 'file:///tmp/x'"),
        ("--dist-url tcp://host:port", "must be tcp://HOST:PORT, found 'tcp://host:port'"),
        ("A.B=1", "the key 'A.B=1' has no value"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(text: str, finding: str):
    with pytest.raises(ConfigError) as failure:
        parse_args_options(text)
    assert str(failure.value).startswith("args_options: ")
    assert finding in str(failure.value)


def task_with(ymir_tree: MakeTree, options: str, gpu_ids: tuple[int, ...] | None) -> Task:
    tree = ymir_tree(config={"args_options": options})
    return dataclasses.replace(load_task(tree.env_file), gpu_ids=gpu_ids)


@pytest.mark.parametrize(
    ("gpu_ids", "processes"), [(None, 2), ((), 2), ((0, 1), 2), ((4, 5, 6), 2)], ids=["absent", "CPU", "two", "more"]
)
def test_num_gpus_is_the_number_of_processes(ymir_tree: MakeTree, gpu_ids: tuple[int, ...] | None, processes: int):
    step = plan(task_with(ymir_tree, "--num-gpus 2", gpu_ids))[0]
    assert step.processes == processes
    command = _command(step, Path("env.yaml"))
    assert command[command.index("--nproc_per_node") + 1] == "2"
    assert "--standalone" in command


def test_more_gpus_than_gpu_id_names(ymir_tree: MakeTree):
    with pytest.raises(ConfigError, match=r"--num-gpus 2 is more than gpu_id names \(1\)"):
        plan(task_with(ymir_tree, "--num-gpus 2", (3,)))


def test_several_machines_become_words_of_the_launcher(ymir_tree: MakeTree):
    text = "--num-machines 3 --machine-rank 1 --dist-url tcp://node0:29500"
    command = " ".join(_command(plan(task_with(ymir_tree, text, ()))[0], Path("env.yaml")))
    assert "--nnodes 3 --node_rank 1 --master_addr node0 --master_port 29500 --nproc_per_node 1" in command
