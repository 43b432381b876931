"""Starts of start.py: two at once, one after another that died, and stops before anything has begun."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MakeTree, Trained, Tree
from tests.platform_reader import read_training_result
from tests.running import (
    PROJECT_DIR,
    Outcome,
    Running,
    descendants,
    free_port,
    run_start,
    start_script,
    wait_for_end,
)

ENDLESS = {"max_iter": 100_000, "eval_period": 100_000}


def waiting_step(tmp_path: Path) -> dict[str, str]:
    """Variables under which every step waits when it imports tqdm."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "tqdm.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    return {"PYTHONPATH": str(tmp_path / "library")}


def start_waiting(tree: Tree, tmp_path: Path) -> Running:
    """A start whose step is running and never ends."""
    running = start_script("start.py", tree.env_file, environment=waiting_step(tmp_path))
    running.wait_for_text("importing")
    return running


def second_start(tree: Tree) -> Outcome:
    """The end of another start on the same folders."""
    return start_script("start.py", tree.env_file, log_name="second.txt").finish()


# --- two at once --------------------------------------------------------------------------------------------------


def test_a_second_start_is_refused_and_spoils_nothing(ymir_tree: MakeTree, tmp_path: Path):
    tree = ymir_tree("infer")
    first = start_waiting(tree, tmp_path)
    before = (tree.out_dir / "monitor.txt").read_bytes()
    second = second_start(tree)
    assert second.status == 1
    line = second.last_line
    assert len(second.lines) == 2  # it and its Chinese sentence
    assert line.startswith(f"ERROR 160004: {tree.out_dir}: another start is working on this output folder (process ")
    assert f" {first.process.pid} " in line
    assert (tree.out_dir / "monitor.txt").read_bytes() == before
    first.kill()


def test_after_the_first_start_died_the_next_one_goes_on(ymir_tree: MakeTree, tmp_path: Path, trained: Trained):
    tree = ymir_tree("infer")
    trained.give_to(tree)
    first = start_waiting(tree, tmp_path)
    children = descendants(first.process.pid)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    wait_for_end(*children)
    assert (tree.out_dir / ".lock-0").exists()
    (tree.out_dir / ".infer-result.json.99.tmp").touch()  # as a process leaves it that is killed while it writes
    run_start(tree.env_file).require_success()
    assert {path.name for path in tree.out_dir.iterdir()} == {
        "monitor.txt", "infer-result.json", "infer-summary.json", "report.html",
    }  # fmt: skip


@pytest.mark.slow
def test_machines_may_share_an_output_folder_but_no_two_starts_are_the_same_machine(ymir_tree: MakeTree):
    place = f"tcp://127.0.0.1:{free_port()}"
    options = [f"--num-machines 2 --machine-rank {rank} --dist-url {place}" for rank in (0, 1)]
    trees = [
        ymir_tree(folder=f"machine{rank}", config={"max_iter": 2, "eval_period": 2, "args_options": options[rank]})
        for rank in (0, 1)
    ]
    shutil.rmtree(trees[1].out_dir)
    trees[1].out_dir.symlink_to(trees[0].out_dir)
    second = start_script("start.py", trees[1].env_file)
    second.wait_for((trees[1].out_dir / ".lock-1").exists)
    refused = second_start(trees[1])
    assert refused.status == 1
    assert "another start is working on this output folder" in refused.last_line
    first = start_script("start.py", trees[0].env_file)
    for outcome in (first.finish(), second.finish()):
        outcome.require_success()
    assert list(read_training_result(trees[0].out_dir / "models", "2.5.0").stages) == ["iter_0000002"]
    assert not list(trees[0].out_dir.glob(".lock*"))


# --- nothing outlives start.py ------------------------------------------------------------------------------------


def test_a_step_does_not_outlive_start_py(ymir_tree: MakeTree, tmp_path: Path):
    running = start_waiting(ymir_tree("infer"), tmp_path)
    children = descendants(running.process.pid)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    assert children
    wait_for_end(*children)


@pytest.mark.slow
def test_no_process_of_a_training_outlives_start_py(ymir_tree: MakeTree):
    """torch's launcher, two processes, and what reads images for them."""
    tree = ymir_tree(config={**ENDLESS, "num_workers": 1, "args_options": "--num-gpus 2"})
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("step 1/")
    children = descendants(running.process.pid)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    assert len(children) == 5
    wait_for_end(*children)


# --- stops before anything has begun --------------------------------------------------------------------------------

STOPS_ITSELF = """
import importlib, os, signal, sys
os.kill(os.getpid(), signal.{number})
sys.path.remove({folder!r})
del sys.modules[{name!r}]
importlib.import_module({name!r})
"""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("library", ["pathlib", "logging", "subprocess", "yaml"])
def test_a_stop_in_the_middle_of_the_imports(ymir_tree: MakeTree, tmp_path: Path, library: str, number: str):
    """start.py itself imports these."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / f"{library}.py").write_text(STOPS_ITSELF.format(number=number, folder=str(folder), name=library))
    outcome = run_start(ymir_tree("infer").env_file, environment={"PYTHONPATH": str(folder)})
    outcome.require_failure(
        160004, f"stopped by {number} before ymir_infer.py began; no image is kept of it yet; start the task again"
    )


def handles_stops(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("seed", range(4))
def test_a_stop_at_any_moment_leaves_an_error_code(ymir_tree: MakeTree, tmp_path: Path, seed: int):
    """From the first moment that a program can handle one; before that, start.sh holds it back."""
    running = start_script("start.py", ymir_tree("infer").env_file, environment=waiting_step(tmp_path))
    running.wait_for(lambda: handles_stops(running.process.pid))
    time.sleep(random.Random(seed).choice([0, 0.05, 0.1, 0.2]))
    running.process.send_signal(signal.SIGTERM)
    running.finish().require_failure(160004, "stopped by SIGTERM")


HOLDS = {
    "env": ["env", "--block-signal=TERM", "true"],  # since coreutils 8.31
    "perl": ["perl", "-MPOSIX", "-e", "exit 0"],
}
OLD_ENV = """#!/bin/sh
case $1 in --block-signal*) exit 125 ;; esac
exec /usr/bin/env "$@"
"""


@pytest.mark.parametrize("program", HOLDS)
def test_a_stop_before_python_has_started_is_held_back_by_start_sh(ymir_tree: MakeTree, tmp_path: Path, program: str):
    """Python's own start takes its time: here it waits for the signal in sitecustomize, before start.py."""
    if shutil.which(program) is None or subprocess.run(HOLDS[program], capture_output=True, check=False).returncode:
        pytest.skip(f"this {program} cannot hold signals back")
    if program == "perl":
        (tmp_path / "env").write_text(OLD_ENV)
        (tmp_path / "env").chmod(0o755)
    tree = ymir_tree("infer")
    (tmp_path / "sitecustomize.py").write_text("import time\nprint('starting', flush=True)\ntime.sleep(0.5)\n")
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(tmp_path)}
    start_sh, no_checkout = PROJECT_DIR / "docker" / "start.sh", tmp_path / "no checkout"
    command = ["bash", str(start_sh), str(PROJECT_DIR), str(no_checkout), "--env", str(tree.env_file)]

    def start(log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=variables)

    running = Running(start, tree.root)
    running.wait_for_text("starting")
    running.process.send_signal(signal.SIGTERM)
    running.finish().require_failure(
        160004, "stopped by SIGTERM before ymir_infer.py began; no image is kept of it yet; start the task again"
    )
