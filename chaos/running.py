"""One start of start.py as the platform makes it, and all the processes that come of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Mapping

PROJECT_DIR = Path(__file__).resolve().parent.parent
POLL_S = 0.01
_MARK = "CHAOS_MARK"
_STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class StartOptions:
    """What a fault changes about a start."""

    environment: Mapping[str, str] = field(default_factory=dict)
    in_child: Callable[[], None] = lambda: None
    """Called in the new process before start.py."""
    log: int | None = None
    """A file for the output in place of the log."""
    script: Path = PROJECT_DIR / "start.py"


class Start:
    """A start that runs or has ended."""

    def __init__(self, root: Path, name: str, options: StartOptions | None = None) -> None:
        """
        Args:
            root: the task folder.
            name: of this start, for its log.
        """
        options = options or StartOptions()
        self.root = root
        self.log = root / f"log-{name}.txt"
        self._mark = secrets.token_hex(8)
        self._began_s = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", _MARK: self._mark, **options.environment}
        command = [sys.executable, str(options.script), "--env", str(root / "in" / "env.yaml")]

        def prepare() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # as docker/start.sh does
            options.in_child()

        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                command, stdout=log if options.log is None else options.log, stderr=subprocess.STDOUT,
                env=environment, cwd=str(root), start_new_session=True, preexec_fn=prepare,
            )  # fmt: skip

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began_s

    @property
    def lines(self) -> list[str]:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if line.strip()]

    @property
    def ending(self) -> str:
        """The end of the log on one line: of a failure, the reason in English and in Chinese."""
        return " / ".join(self.lines[-2:])

    def wait_until(self, happened: Callable[[], bool]) -> bool:
        """Poll until something has happened; return False if the start ended before that."""
        while self.process.poll() is None:
            if happened():
                return True
            time.sleep(POLL_S)
        return False

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; return False, with all processes killed, if it does not come in time."""
        try:
            self.process.wait(max(0.0, timeout_s - self.seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def family(self) -> list[int]:
        """Return the processes of this start that are alive, in the order of their ids."""
        mark = f"{_MARK}={self._mark}".encode()
        return sorted(pid for pid in _processes() if mark in _environment(pid))

    def generations(self) -> list[list[int]]:
        """Return start.py, the processes that it has started, those that they have, and so on."""
        parents = {pid: parent_of(pid) for pid in self.family()}
        generations = [[self.process.pid]]
        while generations[-1]:
            generations.append([pid for pid, parent in parents.items() if parent in generations[-1]])
        return generations[:-1]

    def kill(self) -> None:
        """Kill all processes at one moment, as a power cut or the end of the container does."""
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none sees another die
            for pid in self.family():
                send(pid, number)
        self.process.wait()

    def survivors(self, grace_s: float = 10.0) -> list[str]:
        """Return the command lines of processes that outlive start.py, which has ended; kill them."""
        deadline_s = time.monotonic() + grace_s
        while (left := self.family()) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        commands = [f"{pid}: {command_of(pid)}" for pid in left]
        for pid in left:
            send(pid, signal.SIGKILL)
        return commands


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def parent_of(pid: int) -> int:
    """Return the id of the parent; 0 where the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _environment(pid: int) -> list[bytes]:
    """Return the variables with which a process began; none for one that has ended, a zombie too."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
