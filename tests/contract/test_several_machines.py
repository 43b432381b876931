"""Two machines, here two task folders on one, train one model: machine 0 writes it."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import MakeTree
from tests.platform_reader import read_training_result
from tests.running import start_script


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_machines_train_together_and_the_first_alone_writes(ymir_tree: MakeTree):
    place = f"tcp://127.0.0.1:{free_port()}"
    trees = []
    for rank in (0, 1):
        options = f"--num-machines 2 --machine-rank {rank} --dist-url {place}"
        form = {"max_iter": 2, "eval_period": 2, "args_options": options}
        trees.append(ymir_tree(folder=f"machine{rank}", config=form))
    running = [start_script("start.py", tree.env_file) for tree in trees]
    outcomes = [run.finish(240) for run in running]
    for outcome in outcomes:
        assert outcome.status == 0, outcome.output
        outcome.require_readable_progress()
    assert outcomes[0].monitor.percent == 1.0
    assert "process 1 of 2" in outcomes[0].output
    assert list(read_training_result(trees[0].out_dir / "models", "2.5.0").stages) == ["iter_0000002"]
    assert not (trees[1].out_dir / "models").exists()


@pytest.mark.parametrize(
    ("options", "finding"),
    [("--num-gpus 2", "are for training"), ("--config-file x.yaml", "a model brings its own config.yaml")],
)
def test_inference_refuses_the_flags_of_training(ymir_tree: MakeTree, no_torch: dict, options: str, finding: str):
    tree = ymir_tree("infer", config={"args_options": options})
    start_script("start.py", tree.env_file, environment=no_torch).finish().require_failure(300001, finding)
