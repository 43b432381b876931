"""What experiments of many trainings share: their tasks, and a folder that survives an interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Mapping, TypeVar

from ymir_detectron2.errors import ConfigError

PROJECT_DIR = Path(__file__).resolve().parent.parent

Result = TypeVar("Result")


class Journal(Generic[Result]):
    """A .jsonl file of finished results, one dataclass per line, that survives an interruption. Thread-safe."""

    def __init__(self, file: Path, result_class: type[Result]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.results: list[Result] = [result_class(**json.loads(line)) for line in whole_lines(file)]

    def find(self, **fields: Any) -> Result | None:
        """Return the first result whose fields have these values."""
        return next((one for one in self.results if fields.items() <= vars(one).items()), None)

    def add(self, one: Result) -> None:
        """Append a result to the file."""
        with self._lock, self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")  # type: ignore[call-overload]
            self.results.append(one)


def whole_lines(file: Path) -> list[str]:
    """Return the lines of a journal; remove a line from the file that an interruption has cut."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        file.write_text("".join(whole), encoding="utf-8")
    return whole


def require_same_settings(out: Path, settings: Mapping[str, object]) -> None:
    """Keep results of different settings out of one table: the settings of the first run in a folder are stored there.

    Raises:
        ConfigError: the folder holds results of other settings.
    """
    file = out / "settings.json"
    texts = {name: str(value) for name, value in settings.items()}
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != texts:
        raise ConfigError(f"{out}: holds results of other settings; give them again or choose another --out")
    file.write_text(json.dumps(texts), encoding="utf-8")


def run_task(env_file: Path, log: Path) -> int:
    """Run `start.py` on a task folder with one thread per process; return its exit status."""
    return run_timed_task(env_file, log)[0]


def run_timed_task(env_file: Path, log: Path) -> tuple[int, float]:
    """Run a task as `run_task`; return its exit status and the processor seconds of all its processes.

    Not wall time, which says more about what else the machine does.
    """
    command = [sys.executable, str(PROJECT_DIR / "start.py"), "--env", str(env_file)]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}  # several tasks run at a time
    with log.open("wb") as stream, subprocess.Popen(
        command, cwd=str(PROJECT_DIR), env=environment, stdout=stream, stderr=stream
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return process.returncode, usage.ru_utime + usage.ru_stime
