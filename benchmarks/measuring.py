"""How everything is measured: each row of a table has its own worker process, they work in turn, the median counts.

A worker replies once when it is warmed up, then runs a job for each line on its standard input and replies with the
measurement. All workers of a table are alive at the same time and only one of them works, so that whatever else the
machine does affects all of them alike.
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
_REPLY = "reply: "
"""Before every line that is a reply; libraries print too."""

Key = TypeVar("Key", bound=Hashable)


class Measurement(NamedTuple):
    """Throughput and memory of a job."""

    images_per_s: float
    peak_mib: float
    """Of the process so far: resident memory, or memory allocated on the GPU."""


class WorkerError(RuntimeError):
    """A worker ended without a reply; the message is the end of its standard error."""


class Worker:
    """A process that runs jobs on request."""

    def __init__(self, module: str, spec: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        """
        Args:
            module: of this folder; started with `--work SPEC` it calls `serve`.
            spec: what the worker measures.
        """
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", "--work", json.dumps(spec)]
        variables = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})}  # waiting workers must not spin
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            cwd=str(PROJECT_DIR), env=variables,
        )  # fmt: skip
        self._read_reply()  # waits until the worker is warm: a job never pays for imports

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its standard input, which ends `serve`
        self._errors.close()

    def run(self, job: str) -> Any:
        """Run a job and return its reply."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{job}\n")
        self._process.stdin.flush()
        return self._read_reply()

    def _read_reply(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_REPLY):
                return json.loads(line[len(_REPLY) :])
        self._errors.seek(0)
        raise WorkerError("".join(self._errors.readlines()[-20:]))


def serve(jobs: Mapping[str, Callable[[], Any]]) -> None:
    """Report that the worker is ready, then run jobs as they are requested, until standard input ends."""
    _reply(None)
    for line in sys.stdin:
        _reply(jobs[line.strip()]())


def _reply(value: Any) -> None:
    print(f"{_REPLY}{json.dumps(value)}", flush=True)


def timed(job: Callable[[], int]) -> Callable[[], Measurement]:
    """Wrap a job that returns its number of images, so that it returns a Measurement."""

    def measured() -> Measurement:
        start_s = time.perf_counter()
        images = job()
        return Measurement(images / (time.perf_counter() - start_s), peak_mib())

    return measured


def compare(
    workers: Mapping[Key, Mapping[str, Any]], module: str, jobs: Sequence[str], repeats: int
) -> dict[str, dict[Key, Measurement]]:
    """Start all workers, run each job in all of them in turn, `repeats` times, and take the medians.

    A worker that cannot start is reported on standard error and is missing in the result.

    Args:
        workers: key of a row -> spec of its worker.

    Returns:
        Job -> key -> measurement.
    """
    with ExitStack() as stack:
        running = {}
        for key, spec in workers.items():  # one after the other: loading at the same time could exhaust the memory
            try:
                running[key] = stack.enter_context(Worker(module, spec))
            except WorkerError as error:
                print(f"{key} does not run:\n{error}", file=sys.stderr, flush=True)
        return {job: _medians(running, job, repeats) for job in jobs}


def _medians(running: Mapping[Key, Worker], job: str, repeats: int) -> dict[Key, Measurement]:
    replies: dict[Key, list[Measurement]] = {key: [] for key in running}
    for _ in range(repeats):  # round by round: a disturbance of the machine meets all rows, not one
        for key, worker in running.items():
            replies[key].append(Measurement(*worker.run(job)))
    return {
        # the median ignores a disturbed round; a peak is the largest of all by its nature
        key: Measurement(statistics.median(one.images_per_s for one in of_key), max(one.peak_mib for one in of_key))
        for key, of_key in replies.items()
    }


def peak_mib() -> float:
    """Return the peak memory of this process: on the GPU where it uses one, else resident."""
    torch = sys.modules.get("torch")  # not imported here: that would add to the memory that is measured
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    return resident_peak_mib()


def resident_peak_mib(pid: str = "self") -> float:
    """Return the peak resident memory of a process; 0 if it has ended.

    Not `ru_maxrss`: that starts at the memory of the parent at the time of the fork.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def devices() -> list[str]:
    """Return the kinds of device of this machine: "cpu", and "cuda" where torch sees one."""
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def has_bf16(device: str) -> bool:
    """Return whether the device has bfloat16 instructions; a CPU without them is slower in it than in float32."""
    if device == "cuda":
        import torch

        from ymir_detectron2.engines.devices import read_facts

        return read_facts(torch.device("cuda", 0)).has_bf16
    # by the flags, not by what torch supports: oneDNN emulates bf16 with plain AVX-512
    flags = _cpu_info("flags").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def has_detectron2() -> bool:
    """Return whether detectron2 can be imported, and so be measured."""
    try:
        import detectron2.engine  # noqa: F401 - it may be installed and fail to import
    except (ImportError, AttributeError):
        return False
    return True


def describe_machine(device: str) -> str:
    """Return one sentence about the hardware and versions, without the name of the machine."""
    import torch

    cores = len(os.sched_getaffinity(0))  # not cpu_count: a container may use fewer
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    features = ", ".join(name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in _cpu_info("flags").split())
    words = [f"{_cpu_info('model name') or platform.machine()} ({features or 'no AVX-512'})", f"{cores} cores"]
    words.append(f"{memory_gib:.0f} GiB")
    words.append(torch.cuda.get_device_name(0) if device == "cuda" else "CPU only")
    words.append(f"Python {platform.python_version()}, torch {torch.__version__}")
    return f"Measured on {', '.join(words)}."


def _cpu_info(name: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def parse(description: str) -> argparse.Namespace:
    """Parse the shared command line: `quick`, `page` (None with --quick), and `work`, the spec of a worker."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it works; writes nothing")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the tables go (%(default)s)")
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.page = None  # toy figures must never get into the page
    return arguments
