"""monitor.txt: progress and error codes, as the platform parses them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.test_bad_storage import WITHOUT_POWERS
from tests.platform_reader import read_monitor as platform_read_monitor
from tests.running import PROJECT_DIR
from ymir_detectron2.contract.monitor import Monitor, read_monitor


def state(path: Path) -> tuple[float, int, str]:
    line = platform_read_monitor(path.read_text(encoding="utf-8"))
    return line.percent, line.state_code, line.state_message


def test_progress_is_clipped_scaled_and_never_goes_back(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1", 0.5, 1.0)
    seen = []
    for fraction in (0.0, 0.5, 0.25, float("nan"), -3.0, 7.0):
        monitor.report(fraction)
        seen.append(state(path)[0])
    assert seen == [0.5, 0.75, 0.75, 0.75, 0.75, 1.0]


def test_a_million_reports_are_a_thousand_writes(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1")
    contents = set()
    for step in range(20_001):
        monitor.report(step / 20_000)
        if step % 10 == 0:
            contents.add(path.read_text())
    assert len(contents) <= 1002
    assert state(path)[0] == 1.0


def test_the_first_error_code_is_kept_and_no_progress_of_a_sibling_hides_it(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    writer, sibling, parent = (Monitor(path, "t1") for _ in range(3))
    writer.report(0.2)
    sibling.fail(300103, "memory\nran\tout")
    writer.report(0.4)
    parent.fail(160004, "a child died")
    assert state(path) == (0.2, 300103, "memory ran out")


def test_a_new_run_removes_the_error_code_of_an_earlier_one(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    Monitor(path, "t1").fail(300001, "wrong")
    Monitor(path, "t2").report(0.0)
    assert state(path) == (0.0, 0, "")


@pytest.mark.parametrize("text", ["", "garbage", "t\t1", "t\tx\ty\t2\tz", "t\t1.0\t0.5\t2\tfive"])
def test_a_monitor_file_that_cannot_be_parsed_is_replaced(tmp_path: Path, text: str):
    path = tmp_path / "monitor.txt"
    path.write_text(text)
    assert read_monitor(path) is None
    Monitor(path, "t1").fail(300002, "empty")
    assert state(path) == (0.0, 300002, "empty")


@pytest.mark.parametrize("task_id", ["", " ", "a\tb\nc", "odd byte \udce9", "half a pair \ud800"])
def test_no_task_id_breaks_the_line(tmp_path: Path, task_id: str):
    Monitor(tmp_path / "monitor.txt", task_id).report(0.5)
    assert state(tmp_path / "monitor.txt")[0] == 0.5


def test_where_no_new_file_can_be_made_the_old_one_is_overwritten(tmp_path: Path):
    """As on a full disk: a shorter line over a longer one, and a longer one with an error code."""
    path = tmp_path / "monitor.txt"
    path.write_text(f"t1\t1.0\t0.1000\t2\t300001\t{'long ' * 40}\n")
    prefix = WITHOUT_POWERS if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not installed")
    code = """
import sys
from pathlib import Path
from ymir_detectron2.contract.monitor import Monitor
monitor = Monitor(Path(sys.argv[1]), "t1")
monitor.report(0.5)
print(Path(sys.argv[1]).read_text(), end="")
monitor.fail(160004, "stopped")
"""
    tmp_path.chmod(0o555)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code, str(path)], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True, check=True
    )
    tmp_path.chmod(0o755)
    assert len(done.stdout.splitlines()) == 1
    assert platform_read_monitor(done.stdout).percent == 0.5
    assert state(path) == (0.5, 160004, "stopped")
    assert [file.name for file in tmp_path.iterdir()] == ["monitor.txt"]


@pytest.mark.parametrize(
    "line",
    [
        "t\t1.0\tnan\t2", "t\t1.0\tinf\t2", "t\t1.0\t7.5\t2", "t\t1.0\t-3\t2", "t\tinf\t0.5\t2\t300001\tx",
        "t\t1.0\t0.5\t3\t300001\tx", "t\t1.0\t0.5\t\t2\t300001\tx", f"t\t1.0\t0.5\t2\t{2**31}\tx",
        "\t1.0\t0.5\t2\t7\tx",
    ],
)
def test_a_line_that_the_platform_would_refuse_is_not_taken_over(tmp_path: Path, line: str):
    """Its progress was written again beside the error code, and one with a code was left as it was."""
    path = tmp_path / "monitor.txt"
    path.write_text(line + "\n")
    assert read_monitor(path) is None
    Monitor(path, "t1").fail(300002, "empty")
    assert state(path) == (0.0, 300002, "empty")


def test_a_pipe_in_its_place_keeps_nobody_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "monitor.txt")
    assert read_monitor(tmp_path / "monitor.txt") is None
    Monitor(tmp_path / "monitor.txt", "t1").fail(300002, "empty")
    assert state(tmp_path / "monitor.txt") == (0.0, 300002, "empty")


def test_what_was_reached_is_the_share_of_this_step(tmp_path: Path):
    monitor = Monitor(tmp_path / "monitor.txt", "t", 0.0, 0.5)
    assert monitor.reached == 0.0
    monitor.report(0.8)  # 0.4 of the task
    monitor.report(0.3)  # going back is ignored
    assert monitor.reached == pytest.approx(0.8)
    assert Monitor(tmp_path / "monitor.txt", "t", 0.4, 0.4).reached == 1.0, "a step without a share has nothing to do"
