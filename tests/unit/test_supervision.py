"""A process and the one that started it: its failure arrives without a disk, and it does not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.running import PROJECT_DIR, TIMEOUT_S, descendants, wait_for_end
from ymir_detectron2.supervision import FailureReport, ReportPipe

IMPORTS = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
from ymir_detectron2 import supervision
from ymir_detectron2.supervision import FailureReport, ReportPipe, die_with_supervisor, report_to_supervisor
"""


def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter to its end."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", IMPORTS + code], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True, check=False,
        **options,
    )  # fmt: skip


def report_from_child(pipe: ReportPipe, code: str) -> str:
    """Run code in a child of a supervisor; return what it prints."""
    return run(code, stdin=pipe.write_fd, env={**os.environ, **pipe.environment()}).stdout.strip()


def test_reports_arrive_in_order_and_once():
    with ReportPipe() as pipe:
        assert pipe.read() == []
        for code in (300002, 160004):
            sent = f"print(report_to_supervisor(FailureReport({code}, '第 3 行: no \"box\"')))"
            assert report_from_child(pipe, sent) == "True"
        message = '第 3 行: no "box"'
        assert pipe.read() == [FailureReport(300002, message), FailureReport(160004, message)]
        assert pipe.read() == []


def test_a_long_message_is_shortened_to_what_is_written_at_once():
    with ReportPipe() as pipe:
        report_from_child(pipe, "report_to_supervisor(FailureReport(300002, '行' * 100_000))")
        (report,) = pipe.read()
    assert report.message.startswith("行" * 300)
    assert report.message.endswith("...")
    assert len(report.message) < 1000


def test_a_full_pipe_keeps_nobody_waiting():
    with ReportPipe() as pipe:
        code = "while report_to_supervisor(FailureReport(1, 'x' * 1000)): pass\nprint('refused')"
        assert report_from_child(pipe, code) == "refused"
        assert len(pipe.read()) > 16  # one for each GPU of a large machine


def test_a_child_that_is_started_by_other_code_inherits_the_pipe():
    """As the processes of torch's launcher do, which it starts with closed files and a copy of the environment."""
    child = "print(report_to_supervisor(FailureReport(300103, 'memory')))"
    code = f"""
before = os.fstat(0), dict(os.environ)
with ReportPipe() as pipe:
    with pipe.as_stdin():
        subprocess.run([sys.executable, "-c", {IMPORTS + child!r}], env=os.environ.copy())
    print(pipe.read() == [FailureReport(300103, 'memory')], (os.fstat(0), dict(os.environ)) == before)
"""
    assert run(code, stdin=subprocess.DEVNULL).stdout.split() == ["True", "True", "True"]


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE], ids=["a file", "another pipe"])
@pytest.mark.parametrize("variable", [None, "", "17", "a:b", "inherited"])
def test_without_a_supervisor_nothing_is_sent_and_nothing_binds(stdin: int, variable: str | None):
    with ReportPipe() as pipe:
        inherited = pipe.environment() if variable == "inherited" else {}
        environment = {**os.environ, **inherited}
        if variable is not None and not inherited:
            environment["YMIR_SUPERVISOR"] = variable
        code = "die_with_supervisor(); print(report_to_supervisor(FailureReport(1, 'x')))"
        assert run(code, stdin=stdin, env=environment).stdout.strip() == "False"
        assert pipe.read() == []


def test_a_supervisor_that_has_died_reads_nothing():
    with ReportPipe() as pipe:
        environment = {**os.environ, **pipe.environment()}
        child = subprocess.Popen(
            [sys.executable, "-c", f"{IMPORTS}print('ready', flush=True)\n"
             "while report_to_supervisor(FailureReport(1, 'x')): time.sleep(0.01)\nprint('refused')"],
            cwd=PROJECT_DIR, env=environment, stdin=pipe.write_fd, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    assert child.communicate(timeout=TIMEOUT_S)[0] == "refused\n"


# --- death -------------------------------------------------------------------------------------------------------

CHILD = """
die_with_supervisor()
pids = [os.getpid()]
if os.fork() == 0:
    pids.append(os.getpid())
    if os.fork() == 0:
        pids.append(os.getpid())
        Path(sys.argv[1] + ".new").write_text(" ".join(map(str, pids)))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""
SUPERVISOR = """
with ReportPipe() as pipe, pipe.as_stdin():
    subprocess.run([sys.executable, "-c", {child!r}, sys.argv[1]])
"""


@pytest.mark.parametrize(
    "platform",
    [
        pytest.param("", id="Linux"),
        pytest.param("supervision._prctl, supervision._POLL_S = None, 0.05", id="without prctl"),
    ],
)
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path, platform: str):
    """A child, what it forks as data loaders do, and what that forks."""
    written = tmp_path / "pids"
    child = IMPORTS + platform + CHILD
    supervisor = subprocess.Popen(
        [sys.executable, "-c", IMPORTS + SUPERVISOR.format(child=child), str(written)], cwd=PROJECT_DIR
    )
    try:
        while not written.exists():
            assert supervisor.poll() is None
            time.sleep(0.02)
        pids = [int(pid) for pid in written.read_text().split()]
        assert set(pids) <= set(descendants(supervisor.pid))
    finally:
        supervisor.kill()
        supervisor.wait()
    assert len(pids) == 3
    wait_for_end(*pids)


def test_a_child_whose_supervisor_died_before_it_could_be_bound():
    """Its parent is then another process: here, from the beginning."""
    with ReportPipe() as pipe:
        _, _, inode = pipe.environment()["YMIR_SUPERVISOR"].partition(":")
        environment = {**os.environ, "YMIR_SUPERVISOR": f"1:{inode}"}
        done = run("die_with_supervisor(); print('alive')", stdin=pipe.write_fd, env=environment)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


def test_a_process_forked_by_a_thread_outlives_that_thread():
    code = """
die_with_supervisor()
pids = []
def fork():
    pids.append(os.fork())
    if pids == [0]:
        time.sleep(1)
        os._exit(7)
thread = threading.Thread(target=fork)
thread.start()
thread.join()
print(os.WEXITSTATUS(os.waitpid(pids[0], 0)[1]))
"""
    with ReportPipe() as pipe:
        assert report_from_child(pipe, code) == "7"


@pytest.mark.parametrize(
    "line",
    [b"hello", b"[1]", b"[1, 2, 3]", b'["x", "y"]', b"[true, 'x']", b"5", b"null", b"\xff", b"[" * 50_000, b'[300, "x'],
)
def test_what_is_no_report_is_passed_over(line: bytes):
    """Standard input is what a program may write to that finds it open, and what it writes may lack its end."""
    with ReportPipe() as pipe:
        os.write(pipe.write_fd, line)
        report_from_child(pipe, "report_to_supervisor(FailureReport(300002, 'the reason'))")
        assert pipe.read() == [FailureReport(300002, "the reason")]
