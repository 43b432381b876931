"""The frame of a task script, run in child processes: settings and engine in the log, roles by rank, shutdown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree, Tree
from tests.error_lines import error_line
from tests.platform_reader import read_monitor

PROJECT_DIR = Path(__file__).resolve().parents[2]
SCRIPT = """
import os, signal, sys
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.errors import DatasetError, StoppedError
from ymir_detectron2.tasks.script import run_script

def infer(run):
    print("run", run.is_main, run.is_local_main, run.rank, run.world_size, run.is_multi_node, run.settings.tile_size)
    {function}

sys.exit(run_script("inference", lambda: (InferSettings, infer), sys.argv[1:]))
"""


@pytest.fixture
def tree(ymir_tree: MakeTree) -> Tree:
    return ymir_tree("infer", config={"tile_size": 64, "tile_sise": 3})


def run_with(tree: Tree, function: str = "pass", **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(function=function), "--env", str(tree.env_file), "--progress", "0.5", "1"],
        cwd=PROJECT_DIR, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_single_process_does_everything_and_logs_what_it_runs(tree: Tree):
    done = run_with(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run True True 0 1 False 64" in done.stdout
    assert ", engine torch (" in done.stdout
    assert "): inference" in done.stdout
    assert "settings: InferSettings(engine='torch'" in done.stdout
    assert "config.yaml: unknown key 'tile_sise' has no effect; did you mean 'tile_size'?" in done.stdout
    assert read_monitor((tree.out_dir / "monitor.txt").read_text()).percent == 1.0


@pytest.mark.parametrize(
    ("ranks", "roles"),
    [
        ((1, 1, 2, 2), "False False 1 2 False"),
        ((2, 0, 4, 2), "False True 2 4 True"),
        ((0, 0, 4, 2), "True True 0 4 True"),
    ],
    ids=["second process", "first of the second machine", "first of two machines"],
)
def test_roles_follow_from_the_ranks_of_the_launcher(tree: Tree, ranks: tuple[int, ...], roles: str):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    done = run_with(tree, **{name: str(value) for name, value in zip(names, ranks)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run {roles} 64" in done.stdout
    is_main = ranks[0] == 0
    assert ("settings: " in done.stdout) is is_main
    assert (tree.out_dir / "monitor.txt").exists() is is_main


@pytest.mark.parametrize(
    ("function", "last_line"),
    [
        ("raise DatasetError('no images')", "ERROR 300002: no images"),
        ("os.kill(os.getpid(), signal.SIGTERM); raise DatasetError('no images')", "ERROR 300002: no images"),
        ("raise RuntimeError('a worker died')", "ERROR 160004: unexpected failure (RuntimeError: a worker died); "),
        ("os.kill(os.getpid(), signal.SIGTERM); raise RuntimeError('a worker died')",
         "ERROR 160004: stopped by SIGTERM; no image is kept of it yet; start the task again"),
        ("raise StoppedError('stopped on request')",
         "ERROR 160004: stopped on request; no image is kept of it yet; start the task again"),
    ],
    ids=["own error", "own error after a signal", "foreign error", "foreign error after a signal", "a stop"],
)  # fmt: skip
def test_after_a_signal_a_foreign_error_is_its_consequence(tree: Tree, function: str, last_line: str):
    done = run_with(tree, function)
    assert done.returncode == 1
    assert error_line(done.stdout).startswith(last_line)
    assert read_monitor((tree.out_dir / "monitor.txt").read_text()).percent == 0.5


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RANK": ""}, ("environment variables RANK='' and WORLD_SIZE='1'", "remove both")),
        ({"RANK": "x"}, ("environment variables RANK='x' and WORLD_SIZE='1'", "remove both")),
        ({"RANK": "1"}, ("environment variables RANK='1' and WORLD_SIZE='1'", "remove both")),
        ({"WORLD_SIZE": "0"}, ("RANK='0' and WORLD_SIZE='0'",)),
        ({"LOCAL_RANK": "-1"}, ("LOCAL_RANK='-1' and LOCAL_WORLD_SIZE='1'",)),
        ({"LOCAL_WORLD_SIZE": "9" * 5000}, ("LOCAL_RANK='0' and LOCAL_WORLD_SIZE='999",)),
        ({"YMIR_START": "../a"}, ("environment variable YMIR_START='../a'", "remove it")),
    ],
    ids=str,
)
def test_an_environment_that_no_launcher_makes_is_one_sentence(tree: Tree, environment: dict, words: tuple[str, ...]):
    done = run_with(tree, **environment)
    assert done.returncode == 1
    last_line = error_line(done.stdout)
    assert last_line.startswith("ERROR 300001: environment variable"), done.stdout + done.stderr
    assert all(word in last_line for word in words)
    assert len(last_line) < 600
    assert "Traceback" not in done.stdout + done.stderr
    assert read_monitor((tree.out_dir / "monitor.txt").read_text()).state_code == 300001
