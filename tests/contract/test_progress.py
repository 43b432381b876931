"""monitor.txt from the first instant on: before torch, wherever env.yaml lies, whatever env.yaml says."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import MakeTree, Tree
from tests.platform_reader import read_monitor
from tests.running import Outcome, descendants, run_start, start_script

MOST_SECONDS = 3.0
"""The promise is one second; a machine under test is shared with other tests."""


def test_the_first_line_comes_at_once_and_before_torch(
    ymir_tree: MakeTree, no_torch: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    tree = ymir_tree()
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_readable_progress()
    assert outcome.seconds_to_monitor is not None
    with capsys.disabled():
        print(f" [first monitor line after {outcome.seconds_to_monitor:.2f} s] ", end="")
    assert outcome.seconds_to_monitor < MOST_SECONDS
    assert read_monitor(outcome.monitor_texts[0]).percent == 0.0
    assert read_monitor(outcome.monitor_texts[0]).task_id == "t00000010000021a2b3c4d1700000000"


def test_a_torch_that_cannot_be_imported_still_ends_with_a_verdict(ymir_tree: MakeTree, no_torch: dict[str, str]):
    outcome = run_start(ymir_tree().env_file, environment=no_torch)
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 160004: unexpected failure (ImportError: torch was imported)")
    assert outcome.monitor.state_code == 160004


def moved(tree: Tree, folder: Path) -> Tree:
    """The same task with env.yaml outside of a folder called `in`."""
    shutil.move(str(tree.in_dir), str(folder))
    return Tree(folder, folder / "env.yaml")


def test_env_yaml_may_lie_anywhere(ymir_tree: MakeTree, tmp_path: Path, no_torch: dict[str, str]):
    """/in means its folder, and /out the folder `out` beside the input."""
    tree = moved(ymir_tree(), tmp_path / "some where")
    outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.out_dir == tmp_path / "some where" / "out"
    assert outcome.json("dataset-report.json")["training"]["images"] == 6
    assert outcome.monitor.state_code == 160004


def test_relative_path_to_env_yaml(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    running = start_script("start.py", Path("in/env.yaml"), environment=no_torch, folder=tree.root)
    assert running.finish().json("dataset-report.json")["training"]["images"] == 6


def kill_child_at_once(tree: Tree, number: signal.Signals, environment: dict[str, str]) -> Outcome:
    running = start_script("start.py", tree.env_file, environment=environment)
    running.wait_for(lambda: descendants(running.process.pid))
    time.sleep(0.1)
    running.signal_children(number)
    return running.finish()


@pytest.mark.parametrize(
    ("number", "code", "finding"),
    [
        pytest.param(signal.SIGSEGV, 160004, "ymir_infer.py crashed (SIGSEGV)", id="crash"),
        pytest.param(signal.SIGKILL, 300103, "ymir_infer.py was killed by the system (SIGKILL)", id="out of memory"),
    ],
)
def test_a_child_that_a_signal_ends_without_a_word(
    ymir_tree: MakeTree, no_torch: dict[str, str], number: signal.Signals, code: int, finding: str
):
    outcome = kill_child_at_once(ymir_tree("infer"), number, no_torch)
    outcome.require_failure(code, finding)


def test_a_child_that_ends_well_without_its_result_is_a_failure(ymir_tree: MakeTree, tmp_path: Path):
    """A module that ends the interpreter as it is imported stands for any library that calls exit."""
    (tmp_path / "quitter").mkdir()
    (tmp_path / "quitter" / "tqdm.py").write_text("import os\nos._exit(0)\n")
    outcome = run_start(ymir_tree("infer").env_file, environment={"PYTHONPATH": str(tmp_path / "quitter")})
    outcome.require_failure(160004, "ymir_infer.py ended without", "infer-result.json")


def test_a_child_that_ends_badly_without_a_word(ymir_tree: MakeTree, tmp_path: Path):
    (tmp_path / "quitter").mkdir()
    (tmp_path / "quitter" / "tqdm.py").write_text("import os\nos._exit(7)\n")
    outcome = run_start(ymir_tree("infer").env_file, environment={"PYTHONPATH": str(tmp_path / "quitter")})
    outcome.require_failure(160004, "ymir_infer.py ended with exit status 7 and gave no reason")
