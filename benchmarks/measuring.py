"""How everything here is measured: each subject in a process of its own, asked in turn; the median counts.

A subject says `ready` when it is warm, then does a job for each line that it reads and answers with what it took.
All subjects of a table are alive together and only one of them works, so that whatever else the machine does meets
all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Hashable, Mapping, NamedTuple, Sequence, TypeVar

from benchmarks.page import PAGE

PROJECT_DIR = Path(__file__).resolve().parent.parent
_ANSWER = "answer: "
"""Before every line that is meant for the one who asked; libraries print too."""

Key = TypeVar("Key", bound=Hashable)


class Measurement(NamedTuple):
    """What a job took."""

    images_per_s: float
    peak_mib: float
    """Of the process so far: resident memory, or what was allocated on the GPU."""


class SubjectError(RuntimeError):
    """A subject ended without an answer; the last it said."""


class Subject:
    """A process that does jobs when it is asked to."""

    def __init__(self, module: str, spec: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        """
        Args:
            module: of this folder; with `--work SPEC` it calls `serve`.
            spec: tells it which subject it is.
        """
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", "--work", json.dumps(spec)]
        variables = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})}  # those that wait must not spin
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            cwd=str(PROJECT_DIR), env=variables,
        )  # fmt: skip
        self._answer()

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # the end of its input is the end of its work
        self._errors.close()

    def ask(self, job: str) -> Any:
        """Have it do a job; what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{job}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_ANSWER):
                return json.loads(line[len(_ANSWER) :])
        self._errors.seek(0)
        raise SubjectError("".join(self._errors.readlines()[-20:]))


def serve(jobs: Mapping[str, Callable[[], Any]]) -> None:
    """Do jobs as they are asked for, until there are no more; the work of a subject that is ready."""
    _tell(None)
    for line in sys.stdin:
        _tell(jobs[line.strip()]())


def _tell(answer: Any) -> None:
    print(f"{_ANSWER}{json.dumps(answer)}", flush=True)


def timed(job: Callable[[], int]) -> Callable[[], Measurement]:
    """A job that returns how many images it has done, as one that returns what that took."""

    def measured() -> Measurement:
        start_s = time.perf_counter()
        images = job()
        return Measurement(images / (time.perf_counter() - start_s), peak_mib())

    return measured


def compare(
    subjects: Mapping[Key, Mapping[str, Any]], module: str, jobs: Sequence[str], repeats: int
) -> dict[str, dict[Key, Measurement]]:
    """Start all subjects, ask each in turn and again, and take the medians.

    A subject that cannot start is named with its reason, and is missing in what comes back.

    Returns:
        By job and subject.
    """
    with ExitStack() as stack:
        alive = {}
        for key, spec in subjects.items():
            try:
                alive[key] = stack.enter_context(Subject(module, spec))
            except SubjectError as error:
                print(f"{key} does not run:\n{error}", file=sys.stderr, flush=True)
        return {job: _medians(alive, job, repeats) for job in jobs}


def _medians(alive: Mapping[Key, Subject], job: str, repeats: int) -> dict[Key, Measurement]:
    answers: dict[Key, list[Measurement]] = {key: [] for key in alive}
    for _ in range(repeats):
        for key, subject in alive.items():
            answers[key].append(Measurement(*subject.ask(job)))
    return {
        key: Measurement(statistics.median(one.images_per_s for one in found), max(one.peak_mib for one in found))
        for key, found in answers.items()
    }


def peak_mib() -> float:
    """The most that this process has held: on the GPU where it uses one, else resident."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    return resident_peak_mib()


def resident_peak_mib(pid: str = "self") -> float:
    """The most that a process has held resident; 0 if it has ended.

    Not `ru_maxrss`: that begins with what the parent held when it started the process.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def devices() -> list[str]:
    """The kinds of device that there are: "cpu", and "cuda" where torch sees one."""
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def has_bf16(device: str) -> bool:
    """Whether the device computes in bfloat16 by itself; a CPU that does not is slower in it than in float32."""
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported())
    flags = _cpu_info("flags").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def has_detectron2() -> bool:
    """Whether it can be measured too."""
    try:
        import detectron2.engine  # noqa: F401 - it may be there and fail
    except (ImportError, AttributeError):
        return False
    return True


def describe_machine(device: str) -> str:
    """One sentence about what the figures were measured on, without a name of the machine."""
    import torch

    cores = len(os.sched_getaffinity(0))
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    features = ", ".join(name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in _cpu_info("flags").split())
    words = [f"{_cpu_info('model name') or platform.machine()} ({features or 'no AVX-512'})", f"{cores} cores"]
    words.append(f"{memory_gib:.0f} GiB")
    words.append(torch.cuda.get_device_name(0) if device == "cuda" else "the CPU alone")
    words.append(f"Python {platform.python_version()}, torch {torch.__version__}")
    return f"Measured on {', '.join(words)}."


def _cpu_info(name: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def parse(description: str) -> argparse.Namespace:
    """The command line that the benchmarks share: `quick`, `page` (None with --quick), and `work` for a subject."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it works; writes nothing")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the tables go (%(default)s)")
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.page = None
    return arguments
