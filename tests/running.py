"""The real scripts as real processes, and everything that a platform could see of one run as one `Outcome`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Sequence, Union

import yaml

from tests.error_lines import last_line
from tests.platform_reader import MonitorLine, check_progress, read_monitor
from tests.warm_start import ForkedProcess, warm_process
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.entrypoint import START_VARIABLE
from ymir_detectron2.launch import Step, plan

PROJECT_DIR = Path(__file__).resolve().parent.parent
TINY_CONFIG = PROJECT_DIR / "tests" / "data" / "tiny.yaml"

TIMEOUT_S = 300.0
"""After which a run counts as hanging. Far above what any takes: the machine may be busy with other tests."""
_POLL_S = 0.01
_TIMESTAMP = re.compile(r"\[\d{4}-\d\d-\d\d [\d:,]+\]")

Process = Union["subprocess.Popen[bytes]", ForkedProcess]


@dataclass(frozen=True)
class Outcome:
    """What one run left behind."""

    status: int
    output: str
    """Standard output and standard error, in the order in which they were written."""
    out_dir: Path
    monitor_texts: tuple[str, ...]
    """Every content of monitor.txt that was seen while the run lasted, in order."""
    cpu_seconds_to_monitor: float | None
    """What the process had used when monitor.txt was first seen."""

    @property
    def lines(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.strip()]

    @property
    def last_line(self) -> str:
        """After a failure the reason: the Chinese sentence after it is checked and left out."""
        return last_line(self.output)

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
        """Exit status 1, the code next to state 2, and a reason at the end of the log that contains the words."""
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
        steps = [line for line in self.lines if ": step " in line and "loss" in line]
        return [re.sub(r"[\d.]+ s/step.*", "", _TIMESTAMP.sub("", line)) for line in steps]


class Running:
    """A script that has been started; `finish` waits for its end."""

    def __init__(self, start: Callable[[Path], Process], root: Path, log_name: str = "log.txt") -> None:
        """
        Args:
            start: starts the process, given the file for its output.
            root: the folder of the task.
            log_name: of that file.
        """
        self.out_dir = root / "out"
        self._log = root / log_name
        self._log.write_bytes(b"")
        self._texts: list[str] = []
        self._cpu_seconds_to_monitor: float | None = None
        self.process = start(self._log)
        _started.append(self)

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, happened: Callable[[], Any]) -> None:
        """Poll until something has happened; fail when the run ends before that, or seems to hang."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not happened():
            self._poll_monitor()
            assert self.process.poll() is None, f"the run ended too early:\n{self.output}"
            self._check_time(deadline_s)
            time.sleep(_POLL_S)

    def wait_for_text(self, text: str) -> None:
        self.wait_for(lambda: text in self.output)

    def finish(self) -> Outcome:
        """Wait for the end of the run, and return what it left behind."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            self._poll_monitor()
            self._check_time(deadline_s)
            time.sleep(_POLL_S)
        self._poll_monitor()
        return Outcome(
            self.process.returncode, self.output, self.out_dir, tuple(self._texts), self._cpu_seconds_to_monitor
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

    def _check_time(self, deadline_s: float) -> None:
        if time.monotonic() > deadline_s:
            self.kill()
            raise AssertionError(f"nothing more has happened:\n{self.output}")

    def _poll_monitor(self) -> None:
        try:
            text = (self.out_dir / "monitor.txt").read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        if self._cpu_seconds_to_monitor is None:
            self._cpu_seconds_to_monitor = cpu_seconds(self.process.pid)
        if not self._texts or text != self._texts[-1]:
            self._texts.append(text)


_started: list[Running] = []


def kill_what_still_runs() -> None:
    """End what a test that failed has left: some trainings would run for hours."""
    while _started:
        running = _started.pop()
        if running.process.poll() is None:
            running.kill()


# --- as the container starts them: a new interpreter for every process ------------------------------------------


def start_script(
    script: str,
    env_file: Path,
    *,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    folder: Path | None = None,
    log_name: str = "log.txt",
) -> Running:
    """Start a script of the project on an env.yaml.

    Args:
        environment: variables on top of this process's own.
        prefix: what comes before the script: another user's shell, torch's launcher.
        folder: where the script starts, and `out` is; None: the folder of the task.
        log_name: of the file for its output.
    """
    root = folder or _task_folder(env_file)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(environment or {})}
    command = [*(prefix or [sys.executable]), str(PROJECT_DIR / script), "--env", str(env_file)]

    def start(log: Path) -> Process:
        with log.open("wb") as output:
            return subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=variables, cwd=str(root), start_new_session=True
            )

    return Running(start, root, log_name)


def run_script(script: str, env_file: Path, **options: Any) -> Outcome:
    """Run a script of the project to its end."""
    return start_script(script, env_file, **options).finish()


def run_start(env_file: Path, **options: Any) -> Outcome:
    """Run `start.py --env ENV_FILE` to its end."""
    return run_script("start.py", env_file, **options)


# --- without start.py, in forks of a process that has imported torch ---------------------------------------------


def start_warm(
    script: str,
    env_file: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    log_name: str = "log.txt",
) -> Running:
    """Start a script of the project on an env.yaml, see `warm_start`."""
    root = _task_folder(env_file)

    def start(log: Path) -> Process:
        return warm_process().start(
            PROJECT_DIR / script, ["--env", str(env_file), *arguments], environment=environment or {}, folder=root,
            log=log,
        )  # fmt: skip

    return Running(start, root, log_name)


def launcher_variables(rank: int, world_size: int, port: int) -> dict[str, str]:
    """Return the variables that torch's launcher sets for each process of one machine; they meet at a free port."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **{name: str(n) for name, n in numbers.items()}}


def start_step(step: Step, env_file: Path, start: str = "") -> list[Running]:
    """Start the processes of a step as start.py and torch's launcher would, the main process first."""
    progress = ["--progress", str(step.first), str(step.last)]
    names_start = {START_VARIABLE: start or secrets.token_hex(8)}
    if step.processes == 1:
        return [start_warm(step.script, env_file, *progress, environment=names_start)]
    port = free_port()
    return [
        start_warm(
            step.script, env_file, *progress,
            environment={**launcher_variables(rank, step.processes, port), **names_start}, log_name=f"log{rank}.txt",
        )
        for rank in range(step.processes)
    ]  # fmt: skip


def run_steps(env_file: Path) -> Outcome:
    """Run the steps that start.py would run, one after the other up to the first that fails.

    What start.py adds is not there: the reason of a step that ended without one, and the removal of partial results.

    Returns:
        The outcome of the last step, with the log and the progress of all.
    """
    outcomes: list[Outcome] = []
    start = secrets.token_hex(8)
    for step in plan(load_task(env_file)):
        outcomes += [running.finish() for running in start_step(step, env_file, start)]
        if any(outcome.status != 0 for outcome in outcomes):
            break
    return dataclasses.replace(
        outcomes[-1],
        status=max((outcome.status for outcome in outcomes), key=abs),
        output="".join(outcome.output for outcome in outcomes),
        monitor_texts=tuple(text for outcome in outcomes for text in outcome.monitor_texts),
    )


def _task_folder(env_file: Path) -> Path:
    return env_file.parent.parent if env_file.parent.name == "in" else env_file.parent


# --- processes -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float | None:
    """What a process has used so far, with the children that it has waited for; None: it has ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else None


def wait_for_end(*pids: int) -> None:
    """Wait until processes have ended that need not be children of this one; they may still be zombies."""
    deadline_s = time.monotonic() + 60
    while any(_stat(pid)[:1] not in ([], ["Z"]) for pid in pids):
        assert time.monotonic() < deadline_s, f"still running: {[pid for pid in pids if _stat(pid)]}"
        time.sleep(_POLL_S)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, the third of proc(5); none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on, nearest first."""
    parents = dict(_parents())
    family = [pid]
    for member in family:  # grows as it is iterated
        family.extend(child for child, parent in parents.items() if parent == member)
    return family[1:]


def _parents() -> Iterable[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            yield int(entry.name), int(fields[1])


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
