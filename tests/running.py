"""The real scripts as real processes, and everything that a platform could see of one run as one `Outcome`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Sequence

import yaml

from tests.platform_reader import MonitorLine, check_progress, read_monitor

PROJECT_DIR = Path(__file__).resolve().parent.parent
TINY_CONFIG = PROJECT_DIR / "tests" / "data" / "tiny.yaml"

_POLL_S = 0.01
_TIMESTAMP = re.compile(r"\[\d{4}-\d\d-\d\d [\d:,]+\]")


@dataclass(frozen=True)
class Outcome:
    """What one run left behind."""

    status: int
    output: str
    """Standard output and standard error, in the order in which they were written."""
    out_dir: Path
    monitor_texts: tuple[str, ...]
    """Every content of monitor.txt that was seen while the run lasted, in order."""
    seconds_to_monitor: float | None
    """From the start of the process to the first sight of monitor.txt."""
    seconds: float

    @property
    def lines(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.strip()]

    @property
    def last_line(self) -> str:
        return self.lines[-1] if self.lines else ""

    @property
    def monitor(self) -> MonitorLine:
        """The last state, read as the platform does."""
        return read_monitor((self.out_dir / "monitor.txt").read_text(encoding="utf-8"))

    def require_readable_progress(self) -> None:
        """Every state that a reader could have met must be readable, and none may fall behind the one before."""
        states = [read_monitor(text) for text in self.monitor_texts]
        check_progress(states)
        assert {state.state for state in states} == {2}

    def require_success(self) -> None:
        assert self.status == 0, self.output
        self.require_readable_progress()
        assert self.monitor.percent == 1.0
        assert self.monitor.state_code == 0
        assert "Traceback" not in self.output, self.output

    def require_failure(self, code: int, *words: str) -> None:
        """Exit status 1, the code beside state 2, and a last line that holds the words."""
        assert self.status == 1, self.output
        self.require_readable_progress()
        assert self.last_line.startswith(f"ERROR {code}: "), self.output[-3000:]
        for word in words:
            assert word in self.last_line, f"{word!r} is not in the last line: {self.last_line}"
        assert self.monitor.state_code == code
        assert self.monitor.state_message == self.last_line[len(f"ERROR {code}: ") :].replace("\t", " ")
        assert "Traceback" not in self.output, self.output

    def json(self, name: str) -> Any:
        return json.loads((self.out_dir / name).read_text(encoding="utf-8"))

    def yaml(self, name: str) -> Any:
        return yaml.safe_load((self.out_dir / name).read_text(encoding="utf-8"))

    def losses(self) -> list[str]:
        """The log's lines about steps, without time of day and duration."""
        found = []
        for line in self.lines:
            if ": step " in line and "loss" in line:
                found.append(re.sub(r"[\d.]+ s/step.*", "", _TIMESTAMP.sub("", line)))
        return found


class Running:
    """A script that has been started; `finish` waits for its end."""

    def __init__(self, command: Sequence[str], root: Path, environment: Mapping[str, str]) -> None:
        self._out_dir = root / "out"
        self._log = root / "log.txt"
        self._texts: list[str] = []
        self._seconds_to_monitor: float | None = None
        self._start_s = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=str(root), start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def out_dir(self) -> Path:
        return self._out_dir

    def wait_for(self, happened: Callable[[], Any], timeout_s: float = 90) -> None:
        """Watch until something has happened; fail when the run ends or the time is up before that."""
        deadline_s = time.monotonic() + timeout_s
        while not happened():
            self._look()
            assert self.process.poll() is None, f"the run ended too early:\n{self.output}"
            assert time.monotonic() < deadline_s, f"nothing happened in {timeout_s} s:\n{self.output}"
            time.sleep(_POLL_S)

    def wait_for_text(self, text: str, timeout_s: float = 90) -> None:
        self.wait_for(lambda: text in self.output, timeout_s)

    def finish(self, timeout_s: float = 90) -> Outcome:
        deadline_s = time.monotonic() + timeout_s
        while self.process.poll() is None:
            self._look()
            if time.monotonic() > deadline_s:
                self.kill()
                raise AssertionError(f"still running after {timeout_s} s:\n{self.output}")
            time.sleep(_POLL_S)
        self._look()
        return Outcome(
            self.process.returncode, self.output, self._out_dir, tuple(self._texts), self._seconds_to_monitor,
            time.monotonic() - self._start_s,
        )  # fmt: skip

    def signal_children(self, number: signal.Signals) -> None:
        """Send a signal to the processes that the script has started, not to the script."""
        for pid in descendants(self.process.pid):
            _kill(pid, number)

    def signal_process(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one of the processes that the script has started."""
        assert pid in descendants(self.process.pid)
        _kill(pid, number)

    def kill(self) -> None:
        """End the run and what it started."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            _kill(pid, signal.SIGKILL)
        self.process.wait()

    def _look(self) -> None:
        try:
            text = (self._out_dir / "monitor.txt").read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        if self._seconds_to_monitor is None:
            self._seconds_to_monitor = time.monotonic() - self._start_s
        if not self._texts or text != self._texts[-1]:
            self._texts.append(text)


def start_script(
    script: str,
    env_file: Path,
    *,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    folder: Path | None = None,
) -> Running:
    """Start a script of the project on an env.yaml.

    Args:
        environment: variables on top of this process's own.
        prefix: what stands before the script: another user's shell, torch's launcher.
        folder: where the script starts, and `out` is; None: the folder of the task.
    """
    root = folder or (env_file.parent.parent if env_file.parent.name == "in" else env_file.parent)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(environment or {})}
    command = [*(prefix or [sys.executable]), str(PROJECT_DIR / script), "--env", str(env_file)]
    return Running(command, root, variables)


def run_script(script: str, env_file: Path, *, timeout_s: float = 90, **options: Any) -> Outcome:
    """Run a script of the project to its end."""
    return start_script(script, env_file, **options).finish(timeout_s)


def run_start(env_file: Path, *, timeout_s: float = 90, **options: Any) -> Outcome:
    """Run `start.py --env ENV_FILE` to its end."""
    return run_script("start.py", env_file, timeout_s=timeout_s, **options)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on, nearest first."""
    parents = dict(_parents())
    found = [pid]
    for candidate in found:
        found.extend(child for child, parent in parents.items() if parent == candidate)
    return found[1:]


def _parents() -> Iterable[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield int(entry.name), int(fields[1])


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
