"""Run scripts in forks of one process that has imported torch already: a start costs a third of a second, not four.

    {"script": "/app/ymir_train.py", "arguments": [...], "environment": {...}, "folder": "/...", "log": "/..."}  ->  pid
    pid  ->  its exit status as in `subprocess` and its peak memory in KiB, or null while it runs

One line of JSON each way. A fork runs the script file as `__main__`, with its own session, environment, folder and log,
and ends as an interpreter ends; only the import of packages that are not ours is skipped.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Iterable, Mapping, Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent

# what a training imports, largest first; our own modules take a tenth of a second, and each fork imports them itself
_PACKAGES = (
    "torch", "torchvision", "torch.utils.tensorboard", "matplotlib.backends.backend_agg", "cv2", "faster_coco_eval",
    "ymir_exc.env",
)  # fmt: skip
# one: sums depend on the number of threads, and a pool of threads does not survive a fork
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
_POLL_S = 0.01


class ForkedProcess:
    """A script that runs in a fork; the part of `subprocess.Popen` that tests need."""

    def __init__(self, pid: int, warm: WarmProcess) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.peak_memory_bytes: int | None = None
        """Including what it shares with the process that forked it; None while it runs."""
        self._warm = warm

    def poll(self) -> int | None:
        if self.returncode is None:
            end = self._warm.request(self.pid)
            if end is not None:
                self.returncode, self.peak_memory_bytes = end[0], end[1] * 1024
        return self.returncode

    def wait(self) -> None:
        while self.poll() is None:
            time.sleep(_POLL_S)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class WarmProcess:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_start"], cwd=PROJECT_DIR, env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)

    def start(
        self, script: Path, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
    ) -> ForkedProcess:
        """Fork, and run a script.

        Args:
            environment: variables on top of this process's own; too late for those that torch reads at its import.
            folder: the working directory.
            log: the file to which standard output and standard error are appended.
        """
        pid = self.request(
            {
                "script": str(script), "arguments": [*arguments], "folder": str(folder), "log": str(log),
                "environment": {**os.environ, **_ENVIRONMENT, **environment},
            }
        )  # fmt: skip
        return ForkedProcess(pid, self)

    def request(self, content: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(content) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has died"
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()


@functools.lru_cache(maxsize=None)
def warm_process() -> WarmProcess:
    """Return the one of this process, started when the first test needs it."""
    return WarmProcess()


def serve(requests: Iterable[str], answers: IO[str]) -> None:
    """Answer until there are no more requests. Does not return in a fork, whose script ends the interpreter."""
    for package in _PACKAGES:
        importlib.import_module(package)
    gc.collect()
    gc.freeze()  # else the garbage collector of each fork visits all these objects, which copies their memory
    # a fork has only the thread that forked, and would wait for ever for a lock that another one held
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    for line in requests:
        request = json.loads(line)
        if isinstance(request, int):
            answer = _end_of(request)
        else:
            answer = os.fork()
            if answer == 0:
                _run(**request)
        print(json.dumps(answer), file=answers, flush=True)


def _end_of(pid: int) -> tuple[int, int] | None:
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    if not ended:
        return None
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), usage.ru_maxrss


def _run(script: str, arguments: Sequence[str], environment: Mapping[str, str], folder: str, log: str) -> None:
    """Run a script from its own session, streams, variables and folder to the end of the interpreter."""
    os.setsid()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak memory to what is in use now, see proc(5)
    for path, flags, numbers in [(os.devnull, os.O_RDONLY, [0]), (log, os.O_WRONLY | os.O_APPEND, [1, 2])]:
        opened = os.open(path, flags)
        for number in numbers:
            os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
