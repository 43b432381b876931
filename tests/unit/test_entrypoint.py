"""What every process of a task has, and how it ends: monitor.txt, the last line of the log, the exit status."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.conftest import MakeTree, Tree
from tests.error_lines import error_line
from tests.platform_reader import MonitorLine, read_monitor
from tests.running import PROJECT_DIR
from ymir_detectron2.contract.output_lock import OutputLock
from ymir_detectron2.contract.paths import DEFAULT_ENV_FILE
from ymir_detectron2.entrypoint import Process, argument_parser, read_task, run_process, run_start
from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.launch import plan


@pytest.fixture(autouse=True)
def _handlers_of_the_process() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    thread_hook = threading.excepthook
    yield
    threading.excepthook = thread_hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def tree(ymir_tree: MakeTree) -> Tree:
    return ymir_tree()


def monitor_of(tree: Tree) -> MonitorLine:
    return read_monitor((tree.out_dir / "monitor.txt").read_text())


def raising(error: Exception) -> Callable[[Process], None]:
    def work(process: Process) -> None:
        process.monitor.report(0.5)
        raise error

    return work


def test_the_first_progress_is_there_before_the_work_begins(tree: Tree):
    found: list[MonitorLine] = []

    def work(process: Process) -> None:
        found.append(monitor_of(tree))
        assert process.env_file == tree.env_file
        signal.raise_signal(signal.SIGTERM)
        assert process.stop.name == "SIGTERM"
        process.monitor.report(1.0)

    assert run_process(tree.env_file, work, progress=(0.2, 0.6)) == 0
    assert (found[0].percent, found[0].state_code) == (0.2, 0)
    assert monitor_of(tree).percent == 0.6


def test_the_error_of_an_earlier_run_is_removed(tree: Tree):
    assert run_process(tree.env_file, raising(ModelError("first"))) == 1
    assert monitor_of(tree).state_code == 300004
    assert run_process(tree.env_file, lambda process: None) == 0
    assert monitor_of(tree).state_code == 0


def test_other_processes_than_the_first_keep_what_it_has_reported(tree: Tree):
    run_process(tree.env_file, raising(ModelError("first")))
    assert run_process(tree.env_file, lambda process: None, reports_progress=False) == 0
    assert monitor_of(tree).state_code == 300004


@pytest.mark.parametrize(
    ("error", "code", "has_traceback"), [(ModelError("a.pth: gone"), 300004, False), (KeyError("a"), 160004, True)]
)
def test_whatever_is_raised_is_reported(
    tree: Tree, capsys: pytest.CaptureFixture[str], error: Exception, code: int, has_traceback: bool
):
    assert run_process(tree.env_file, raising(error)) == 1
    output = capsys.readouterr().out
    assert error_line(output).startswith(f"ERROR {code}: ")
    assert ("Traceback (most recent call last):" in output.splitlines()) is has_traceback
    assert (monitor_of(tree).percent, monitor_of(tree).state_code) == (0.5, code)


def test_a_start_works_under_the_lock_of_its_machine(tree: Tree):
    tree.edit("config.yaml", args_options="--num-machines 2 --machine-rank 1 --dist-url tcp://node0:29500")

    def work(process: Process) -> None:
        assert len(process.inherited_fds) == 1
        assert (tree.out_dir / ".lock-1").exists()

    assert run_start(tree.env_file, work) == 0
    assert not (tree.out_dir / ".lock-1").exists()


def test_a_second_start_leaves_monitor_txt_to_the_first(tree: Tree, capsys: pytest.CaptureFixture[str]):
    run_process(tree.env_file, lambda process: process.monitor.report(0.4))
    before = (tree.out_dir / "monitor.txt").read_bytes()
    with OutputLock(tree.out_dir):
        assert run_start(tree.env_file, raising(ModelError("never begun"))) == 1
    assert (tree.out_dir / "monitor.txt").read_bytes() == before
    output = capsys.readouterr().out
    assert len(output.splitlines()) == 2
    line = error_line(output)
    assert line.startswith(f"ERROR 160004: {tree.out_dir}: another start is working on this output folder (process ")


def test_settings_that_cannot_be_read_are_reported_under_the_lock_of_machine_0(tree: Tree):
    tree.edit("config.yaml", args_options="--machine-rank")

    def work(process: Process) -> None:
        assert (tree.out_dir / ".lock-0").exists()
        raise ModelError("what is wrong")

    assert run_start(tree.env_file, work) == 1
    assert monitor_of(tree).state_code == 300004


def test_the_machine_may_be_named_in_a_file_of_args_options(tree: Tree):
    (tree.in_dir / "options.txt").write_text("--num-machines 2 --machine-rank 1 --dist-url tcp://a:1\n")
    tree.edit("config.yaml", args_options="@options.txt")

    def work(process: Process) -> None:
        assert (tree.out_dir / ".lock-1").exists()

    assert run_start(tree.env_file, work) == 0


def test_a_task_has_the_content_of_files_in_place_of_their_names(tree: Tree):
    (tree.in_dir / "options.txt").write_text("--num-gpus 2\n")
    (tree.in_dir / "weights.txt").write_text("cat:2\n")
    tree.edit("config.yaml", args_options="@options.txt", class_weights="@/in/weights.txt", seed=3)
    task = read_task(tree.env_file)
    assert (task.config["args_options"], task.config["class_weights"]) == ("--num-gpus 2", "cat:2")
    assert task.config["seed"] == 3
    assert [step.processes for step in plan(task)] == [2]
    (tree.in_dir / "options.txt").unlink()
    with pytest.raises(ConfigError, match=r"^config\.yaml: args_options: .*/options\.txt does not exist; "):
        read_task(tree.env_file)


def test_without_the_output_folder_the_work_finds_out_what_is_missing(tmp_path: Path):
    env_file = tmp_path / "in" / "env.yaml"
    assert run_process(env_file, lambda process: None) == 0
    assert not (tmp_path / "out").exists()


def test_the_platforms_env_file_is_the_default(tmp_path: Path):
    parser = argument_parser("a task")
    assert parser.parse_args([]).env == DEFAULT_ENV_FILE
    assert parser.parse_args(["--env", str(tmp_path / "env.yaml")]).env == tmp_path / "env.yaml"


def test_the_log_goes_to_stdout_with_time_and_module(tree: Tree, capsys: pytest.CaptureFixture[str]):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []  # as in a new process: pytest has installed its own
    try:

        def work(process: Process) -> None:
            logging.getLogger("a.module").info("3 images")
            logging.getLogger("a.module").debug("hidden")

        run_process(tree.env_file, work, log_level=logging.INFO)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("INFO     [2")
    assert lines[0].endswith("] a.module: 3 images")


# A process of its own: levels of loggers outlast a test.
DEBUGGED = """
import logging, sys
from pathlib import Path
from ymir_detectron2.entrypoint import run_process

def work(process):
    logging.getLogger("ymir_detectron2.training.loop").debug("ours")
    logging.getLogger("PIL").debug("not ours")

run_process(Path(sys.argv[1]), work, log_level=int(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("variable", "level", "words"),
    [({}, logging.INFO, 0), ({"YMIR_DEBUG": "1"}, logging.INFO, 1), ({"YMIR_DEBUG": "1"}, logging.WARNING, 0)],
    ids=["as ever", "YMIR_DEBUG", "another process than the first"],
)
def test_debug_messages_are_those_of_this_project(tree: Tree, variable: dict[str, str], level: int, words: int):
    done = subprocess.run(
        [sys.executable, "-c", DEBUGGED, str(tree.env_file), str(level)], cwd=PROJECT_DIR, text=True, check=True,
        stdout=subprocess.PIPE, env={**os.environ, **variable},
    )  # fmt: skip
    assert done.stdout.count("DEBUG") == done.stdout.count("] ymir_detectron2.training.loop: ours") == words


def test_names_in_the_log_do_not_steer_the_terminal(tree: Tree, capsys: pytest.CaptureFixture[str]):
    def work(process: Process) -> None:
        logging.getLogger("a.module").warning("%s: cannot be read", "a\x1b[2J\udcff.jpg")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])  # pytest has set some
        run_process(tree.env_file, work)
    assert capsys.readouterr().out.rstrip("\n").endswith("a\\x1b[2J\\udcff.jpg: cannot be read")


LOG_IN_ASCII = r"""
import logging, sys
from pathlib import Path
from ymir_detectron2.entrypoint import run_process
sys.exit(run_process(Path(sys.argv[1]), lambda process: logging.getLogger("a").warning("\u732b.jpg: gone")))
"""


def test_a_log_that_cannot_hold_a_name_shows_it_as_escapes(tree: Tree):
    """Before, logging printed a traceback of its own in place of the line."""
    done = subprocess.run(
        [sys.executable, "-c", LOG_IN_ASCII, str(tree.env_file)], cwd=PROJECT_DIR, capture_output=True, text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("] a: \\u732b.jpg: gone\n")
