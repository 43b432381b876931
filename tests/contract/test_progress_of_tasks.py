"""monitor.txt from the first instant on: before torch, wherever env.yaml is, however the child process ends."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import MakeTree, Trained, Tree
from tests.platform_reader import read_monitor
from tests.running import run_start, start_script

MOST_CPU_SECONDS = 1.0
"""The promise is one second; in CPU time, because other tests share the machine."""


def test_the_first_line_comes_at_once_and_before_torch(
    ymir_tree: MakeTree, no_torch: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    tree = ymir_tree()
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_readable_progress()
    assert outcome.cpu_seconds_to_monitor is not None
    with capsys.disabled():
        print(f" [first monitor line after {outcome.cpu_seconds_to_monitor:.2f} CPU s] ", end="")
    assert outcome.cpu_seconds_to_monitor < MOST_CPU_SECONDS
    assert read_monitor(outcome.monitor_texts[0]).percent == 0.0
    assert read_monitor(outcome.monitor_texts[0]).task_id == "t00000010000021a2b3c4d1700000000"


def test_a_torch_that_cannot_be_imported_ends_with_an_error_code(ymir_tree: MakeTree, no_torch: dict[str, str]):
    outcome = run_start(ymir_tree().env_file, environment=no_torch)
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 160004: unexpected failure (ImportError: torch was imported)")
    assert outcome.monitor.state_code == 160004


def moved(tree: Tree, folder: Path) -> Tree:
    """The same task with env.yaml outside of a folder called `in`."""
    shutil.move(str(tree.in_dir), str(folder))
    return Tree(folder, folder / "env.yaml")


def test_env_yaml_may_be_anywhere(ymir_tree: MakeTree, tmp_path: Path, no_torch: dict[str, str]):
    """/in is its folder then, and /out the folder `out` in it."""
    tree = moved(ymir_tree(), tmp_path / "some where")
    outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.out_dir == tmp_path / "some where" / "out"
    assert outcome.json("dataset-report.json")["training"]["images"] == 6
    assert outcome.monitor.state_code == 160004


def test_relative_path_to_env_yaml(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    running = start_script("start.py", Path("in/env.yaml"), environment=no_torch, folder=tree.root)
    assert running.finish().json("dataset-report.json")["training"]["images"] == 6


def replace_tqdm(tmp_path: Path, code: str) -> dict[str, str]:
    """Variables under which a step runs `code` when it imports tqdm: for what any library may do there."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "tqdm.py").write_text(code)
    return {"PYTHONPATH": str(tmp_path / "library")}


@pytest.mark.parametrize(
    ("number", "code", "finding"),
    [
        pytest.param(signal.SIGSEGV, 160004, "ymir_infer.py crashed (SIGSEGV)", id="crash"),
        pytest.param(signal.SIGKILL, 300103, "ymir_infer.py was killed by the system (SIGKILL)", id="out of memory"),
    ],
)
def test_a_child_that_a_signal_ends_without_a_reason(
    ymir_tree: MakeTree, tmp_path: Path, number: signal.Signals, code: int, finding: str
):
    variables = replace_tqdm(tmp_path, "import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    running = start_script("start.py", ymir_tree("infer").env_file, environment=variables)
    running.wait_for_text("importing")
    running.signal_children(number)
    running.finish().require_failure(code, finding)


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("import no_such_module", "ERROR 160004: unexpected failure (ModuleNotFoundError: No module named 'no_such_mo"),
        ("raise MemoryError", "ERROR 300103: memory ran out (MemoryError: )"),
    ],
)
def test_a_step_that_fails_while_it_is_imported(ymir_tree: MakeTree, tmp_path: Path, code: str, finding: str):
    outcome = run_start(ymir_tree("infer").env_file, environment=replace_tqdm(tmp_path, code))
    assert outcome.status == 1
    assert outcome.last_line.startswith(finding)
    assert outcome.lines.count(outcome.last_line) == 1
    assert outcome.monitor.state_message == outcome.last_line.partition(": ")[2]


def test_a_launcher_that_cannot_be_imported_ends_with_an_error_code(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree("infer", config={"args_options": "--num-gpus 2"})
    outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.last_line.startswith("ERROR 160004: unexpected failure (ImportError: torch was imported)")
    assert outcome.monitor.state_code == 160004


def test_a_child_that_ends_well_without_its_result_is_a_failure(ymir_tree: MakeTree, tmp_path: Path):
    variables = replace_tqdm(tmp_path, "import os\nos._exit(0)\n")
    outcome = run_start(ymir_tree("infer").env_file, environment=variables)
    outcome.require_failure(160004, "ymir_infer.py ended without", "infer-result.json")


def test_a_child_that_ends_badly_without_a_reason(ymir_tree: MakeTree, tmp_path: Path):
    variables = replace_tqdm(tmp_path, "import os\nos._exit(7)\n")
    outcome = run_start(ymir_tree("infer").env_file, environment=variables)
    outcome.require_failure(160004, "ymir_infer.py ended with exit status 7 and gave no reason")


def test_a_training_is_not_at_its_end_before_it_ends(trained: Trained):
    """Its last evaluation, the plots and the page of the results come after the last step."""
    *before, last = [read_monitor(text).percent for text in trained.outcome.monitor_texts]
    assert last == 1.0
    assert max(before) < 1.0
    (line,) = (line for line in trained.outcome.lines if ": step 6/6 " in line)
    assert not line.endswith(" 0 s left")
