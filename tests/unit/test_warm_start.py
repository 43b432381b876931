"""A fork of the warm process is a process like any other; contract/test_training_results.py shows the same numbers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.warm_start import ForkedProcess, warm_process

FACTS = """
import os, sys
print(__name__, sys.argv[1:], os.getcwd(), os.environ.get("COLOUR"), os.getsid(0) == os.getpid())
print("torch" in sys.modules)
print("to stderr", file=sys.stderr)
"""


def start(tmp_path: Path, code: str, *arguments: str, **variables: str) -> ForkedProcess:
    script = tmp_path / "script.py"
    script.write_text(code)
    (tmp_path / "log.txt").write_text("before\n")
    return warm_process().start(
        script, arguments, environment=variables, folder=tmp_path, log=tmp_path / "log.txt"
    )  # fmt: skip


def log_of(tmp_path: Path) -> list[str]:
    return (tmp_path / "log.txt").read_text().splitlines()


def test_a_script_gets_its_arguments_folder_variables_session_and_log(tmp_path: Path):
    process = start(tmp_path, FACTS, "--env", "x", COLOUR="red")
    process.wait()
    assert process.returncode == 0
    assert log_of(tmp_path) == [
        "before", f"__main__ ['--env', 'x'] {tmp_path} red True", "True", "to stderr"
    ]  # fmt: skip
    assert "COLOUR" not in os.environ


@pytest.mark.parametrize(
    ("code", "status"),
    [
        pytest.param("", 0, id="to the end"),
        pytest.param("import sys; sys.exit(3)", 3, id="exit"),
        pytest.param("import os; os._exit(4)", 4, id="exit at once"),
        pytest.param("raise ValueError('wrong')", 1, id="exception"),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, id="crash"),
    ],
)
def test_exit_status(tmp_path: Path, code: str, status: int):
    process = start(tmp_path, code)
    process.wait()
    assert process.returncode == status
    assert process.poll() == status


def test_a_running_script_can_be_stopped(tmp_path: Path):
    process = start(tmp_path, "import time; time.sleep(600)")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert process.returncode == -signal.SIGTERM


def test_what_a_script_imports_and_changes_is_gone_with_it(tmp_path: Path):
    code = "import os, sys; print('wave' in sys.modules, 'X' in os.environ); import wave; os.environ['X'] = '1'"
    for _ in range(2):
        start(tmp_path, code).wait()
        assert log_of(tmp_path)[-1] == "False False"


def test_peak_memory(tmp_path: Path):
    """Of large amounts: the packages that a fork uses are at least 200 MB."""
    peaks = []
    for size in (300 << 20, 500 << 20):
        process = start(tmp_path, f"content = b'x' * {size}")
        process.wait()
        assert process.peak_memory_bytes is not None
        peaks.append(process.peak_memory_bytes)
    assert peaks[1] - peaks[0] == pytest.approx(200 << 20, rel=0.2)
