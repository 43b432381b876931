"""Processes that die under torch's launcher: which one is reported, in monitor.txt and in the log. All are real."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

import pytest

from tests.error_lines import error_line
from tests.platform_reader import MonitorLine, read_monitor
from tests.running import PROJECT_DIR, descendants, wait_for_end
from ymir_detectron2.launch import PATIENT_STOP
from ymir_detectron2.supervision import ReportPipe

SCRIPT = """
import argparse, os, signal, sys, time
from pathlib import Path
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.contract.task import monitor_place
from ymir_detectron2.errors import DatasetError, StoppedError
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.failure import report_failure
from ymir_detectron2.supervision import die_with_supervisor

parser = argparse.ArgumentParser()
parser.add_argument("--env", type=Path)
parser.add_argument("--progress", type=float, nargs=2)
arguments = parser.parse_args()
monitor = Monitor(*monitor_place(arguments.env), *arguments.progress)
die_with_supervisor()
stop = StopSignal().install()
rank = int(os.environ["RANK"])
if rank == 0:
    monitor.report(0.5)
    print("ready", flush=True)
while rank == 0 and DEATH and not stop.requested():
    time.sleep(0.05)
if rank == 1:
    time.sleep(0.5)
    exec(DEATH)
if stop.requested():
    sys.exit(report_failure(monitor, StoppedError("stopped by SIGTERM")))
"""


@dataclass(frozen=True)
class Run:
    status: int
    output: str
    monitor: MonitorLine


def start(
    folder: Path,
    death: str,
    script: str = "ymir_mining.py",
    *,
    stdin: int | None = None,
    environment: Mapping[str, str] | None = None,
    launcher: Sequence[str] = ("--standalone",),
) -> subprocess.Popen[str]:
    """Two processes, of which the first waits for SIGTERM and the second does as `death` says."""
    (folder / script).write_text(SCRIPT.replace("DEATH", repr(death)))
    (folder / "in").mkdir()
    (folder / "in" / "env.yaml").write_text("task_id: t1\n")
    (folder / "out").mkdir()
    launcher = ["-m", "ymir_detectron2.distributed_launcher", *launcher]
    launcher += ["--nproc_per_node", "2", "--monitor_interval", "0.2"]
    task = [str(folder / script), "--env", str(folder / "in" / "env.yaml"), "--progress", "0.0", "0.8"]
    variables = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.Popen(
        [sys.executable, *launcher, *task], cwd=PROJECT_DIR, env=variables, text=True, stdin=stdin,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], folder: Path) -> Run:
    try:
        output = process.communicate(timeout=90)[0]
    finally:
        process.kill()
    return Run(process.returncode, output, read_monitor((folder / "out" / "monitor.txt").read_text()))


@pytest.mark.parametrize(
    ("death", "code", "sentence"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", 300103,
                     "process 2 of 2 of ymir_mining.py was killed by the system (SIGKILL), most likely because main"
                     " memory ran out; lower batch_size or num_workers, or give the container more memory;"
                     " no image is kept of it yet; start the task again", id="killed"),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", 160004,
                     "process 2 of 2 of ymir_mining.py crashed (SIGSEGV); the lines above say where;"
                     " please report them", id="crashed"),
        pytest.param("sys.exit(report_failure(monitor, DatasetError('line 3: no box')))", 300002, "line 3: no box",
                     id="has reported its error"),
        pytest.param("report_failure(monitor, DatasetError('no box')); os.kill(os.getpid(), signal.SIGABRT)", 300002,
                     "no box", id="has reported its error, then crashes"),
    ],
)  # fmt: skip
def test_the_first_process_that_died_is_reported(tmp_path: Path, death: str, code: int, sentence: str):
    """Although torch's launcher then stops the other one, which reports that it was stopped."""
    run = finish(start(tmp_path, death), tmp_path)
    assert run.status == 1, run.output
    message = run.monitor.state_message
    # without what memory this machine has
    assert (run.monitor.state_code, re.sub(r" \(\d+\.\d\d GB, [^)]+\)", "", message)) == (code, sentence), run.output
    assert run.monitor.percent == 0.4
    assert error_line(run.output) == f"ERROR {code}: {message}"
    assert run.output.count("ERROR ") == 1
    assert "another process has reported 160004: stopped by SIGTERM" in run.output.splitlines()
    assert "Traceback" not in run.output


def test_a_process_that_dies_between_monitor_txt_and_its_report(tmp_path: Path):
    """As one that torch's launcher stops, and kills when it takes too long: monitor.txt says what the log says."""
    death = "monitor.fail(160004, 'stopped by SIGTERM'); os.kill(os.getpid(), signal.SIGKILL)"
    process = start(tmp_path, death)
    text = SCRIPT.replace("DEATH", repr(death)).replace("if stop.requested():", "if False:")
    (tmp_path / "ymir_mining.py").write_text(text)
    run = finish(process, tmp_path)
    assert run.monitor.state_code == 300103, run.output
    assert error_line(run.output) == f"ERROR 300103: {run.monitor.state_message}"


def test_a_process_that_exits_without_reporting_an_error(tmp_path: Path):
    folder = tmp_path
    process = start(folder, "")
    text = SCRIPT.replace("DEATH", repr("")) + "\nsys.exit(3 * rank)"
    (folder / "ymir_mining.py").write_text(text)
    run = finish(process, folder)
    assert run.status == 1
    sentence = "process 2 of 2 of ymir_mining.py ended with exit status 3 and gave no reason; see the lines above"
    assert (run.monitor.state_code, run.monitor.state_message) == (160004, sentence)


def test_with_a_supervisor_the_last_line_is_left_to_it(tmp_path: Path):
    with ReportPipe() as pipe:
        death = "os.kill(os.getpid(), signal.SIGKILL)"
        run = finish(start(tmp_path, death, stdin=pipe.write_fd, environment=pipe.environment()), tmp_path)
        (report,) = pipe.read()
    assert (report.code, report.message) == (300103, run.monitor.state_message)
    assert "ERROR 300103" not in run.output
    assert "错误" not in run.output


def test_a_reason_reaches_the_log_without_a_disk(tmp_path: Path):
    no_disk = f"out = Path({str(tmp_path / 'out')!r})\nout.rename(out.with_name('old'))\nout.touch()"
    process = start(tmp_path, f"{no_disk}\nsys.exit(report_failure(monitor, DatasetError('line 3: no box')))")
    output = process.communicate(timeout=90)[0]
    assert process.returncode == 1
    assert error_line(output) == "ERROR 300002: line 3: no box"


def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path):
    """With torch 2 its processes are in sessions of their own."""
    process = start(tmp_path, "time.sleep(600)")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = descendants(process.pid)
    process.kill()
    process.communicate()
    assert len(children) == 2
    wait_for_end(*children)


@pytest.mark.slow
def test_machines_that_cannot_meet(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = ("127.0.0.1", other.getsockname()[1])
        launcher = ["--nnodes", "2", "--node_rank", "0", "--master_addr", place[0], "--master_port", str(place[1])]
        run = finish(start(tmp_path, "", launcher=launcher), tmp_path)
    assert run.status == 1
    finding = f"ERROR 160004: machine 0 of 2 could not meet the others at {place[0]}:{place[1]} ("
    assert error_line(run.output).startswith(finding)
    assert run.monitor.state_message.endswith("whether every machine was started")


def test_processes_that_succeed(tmp_path: Path):
    run = finish(start(tmp_path, ""), tmp_path)
    assert run.status == 0, run.output
    assert run.monitor.state_code == 0


def test_a_killed_training_says_what_is_kept(tmp_path: Path):
    process = start(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", "ymir_train.py")
    checkpoint = tmp_path / "out" / ".unfinished" / "training" / "step_0000120.pth"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    run = finish(process, tmp_path)
    assert run.monitor.state_message.endswith(
        "the checkpoint of step 120 is kept; start the task again on the same output folder to go on after that step"
    )


SAVES_FOR_LONG = """
Path(arguments.env).with_name("ready").touch()
while not stop.requested():
    time.sleep(0.05)
time.sleep({seconds})
Path(arguments.env).with_name("saved").touch()"""


@pytest.mark.parametrize("seconds", [0, pytest.param(33, marks=pytest.mark.slow)])
def test_a_patient_stop_waits_for_as_long_as_saving_takes(tmp_path: Path, seconds: int):
    """torch's own launcher kills the processes 30 s after it was asked to stop."""
    process = start(tmp_path, SAVES_FOR_LONG.format(seconds=seconds))
    # as in a training, the other one does not end before all is saved
    script = tmp_path / "ymir_mining.py"
    waits = "while not arguments.env.with_name('saved').exists(): time.sleep(0.05)\nif stop.requested():"
    script.write_text(script.read_text().replace("if stop.requested():", waits))
    wait_for_file(tmp_path / "out" / "monitor.txt")
    wait_for_file(tmp_path / "in" / "ready")
    process.send_signal(PATIENT_STOP)
    run = finish(process, tmp_path)
    assert (run.status, run.monitor.state_code, run.monitor.state_message) == (1, 160004, "stopped by SIGTERM")
    assert (tmp_path / "in" / "saved").exists()


def wait_for_file(path: Path) -> None:
    deadline_s = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_stop_is_passed_on(tmp_path: Path):
    process = start(tmp_path, "\nwhile not stop.requested():\n    time.sleep(0.05)")
    assert process.stdout is not None
    wait_for_file(tmp_path / "out" / "monitor.txt")
    children = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    run = finish(process, tmp_path)
    assert run.status == 1
    assert (run.monitor.state_code, run.monitor.state_message) == (160004, "stopped by SIGTERM")
    assert len(children) == 2
    assert "Traceback" not in run.output, run.output
