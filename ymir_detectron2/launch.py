"""A task as steps, each in a process of its own, and what is said when one of them dies.

The parent holds no torch: it can always report, whatever happens to a child (contract, 3.1).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from .args_options import ArgsOptions, parse_args_options
from .contract.monitor import read_monitor
from .contract.task import Task
from .errors import ConfigError, ExecutorError, OutOfMemoryError, StoppedError
from .stop_signal import StopSignal
from .version import PROJECT_DIR

logger = logging.getLogger(__name__)

STOP_GRACE_S = 8.0  # `docker stop` kills after ten seconds, and the verdict has to be written by then
TRAINING = "ymir_train.py"
_POLL_S = 0.2
_SECONDS_BETWEEN_LOOKS = "0.2"  # of the launcher at its processes; torch 1.10 would look every five
_MINING_SHARE = 0.98  # mining keeps the boxes that it sees: inference only writes them
_RANDOM_MINING_SHARE = 0.02  # which looks at no picture


class Step(NamedTuple):
    """One script to run."""

    script: str
    first: float
    last: float
    """The part of the task's progress that is this step's."""
    result: Path
    """The file that has to be there afterwards, on the machine that writes."""
    processes: int
    """On this machine."""
    options: ArgsOptions = ArgsOptions({})
    """Where the processes of several machines meet."""


class ChildError(ExecutorError):
    """A child has already said why it failed; its code and sentence are repeated."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def plan(task: Task) -> list[Step]:
    """The steps of a task: training, or mining and inference, mining first; each in as many processes as GPUs.

    Raises:
        ConfigError: env.yaml asks for nothing, or for training together with something else; args_options make no
            sense.
    """
    wanted = [name for name in ("run_training", "run_mining", "run_infer") if getattr(task, name)]
    if not wanted:
        raise ConfigError("env.yaml: none of run_training, run_mining and run_infer is true; set one of them")
    if task.run_training and len(wanted) > 1:
        raise ConfigError(f"env.yaml: {' and '.join(wanted)} are true; training is a task of its own")
    options = parse_args_options(str(task.config.get("args_options") or ""))
    processes = _processes(task, options)
    if task.run_training:
        return [Step(TRAINING, 0.0, 1.0, task.training_result, processes, options)]
    share = {1: 1.0 if task.run_mining else 0.0, 2: _mining_share(task)}[len(wanted)]
    steps = [
        Step("ymir_mining.py", 0.0, share, task.mining_result, processes, options),
        Step("ymir_infer.py", share, 1.0, task.infer_result, processes, options),
    ]
    return [step for step in steps if step.last > step.first]


def _mining_share(task: Task) -> float:
    algorithm = str(task.config.get("mining_algorithm") or "").strip().lower()
    return _RANDOM_MINING_SHARE if algorithm == "random" else _MINING_SHARE


def _processes(task: Task, options: ArgsOptions) -> int:
    """As many as --num-gpus says, which on the CPU means processes; else one per GPU of gpu_id."""
    if task.gpu_ids and options.num_gpus > len(task.gpu_ids):
        raise ConfigError(
            f"args_options: --num-gpus {options.num_gpus} is more than gpu_id names ({len(task.gpu_ids)});"
            " choose more GPUs or leave the flag out"
        )
    return options.num_gpus or len(task.gpu_ids or ()) or 1


def run_step(step: Step, task: Task, env_file: Path, stop: StopSignal) -> None:
    """Run one step to its end.

    Raises:
        ExecutorError: it failed, with the reason that the child gave, or else the one that its death tells.
    """
    if stop.requested():
        raise StoppedError(f"stopped by {stop.name} before {step.script} began; start the task again")
    started_s = time.time()
    # a session of its own: a Ctrl-C at the terminal reaches the parent alone, which passes it on once
    child = subprocess.Popen(_command(step, env_file), env=_environment(step), start_new_session=True)  # noqa: S603
    status = _wait(child, stop)
    if status == 0:
        writes = step.options.machine_rank == 0
        if writes and (not step.result.is_file() or step.result.stat().st_mtime < started_s - 2):
            raise ExecutorError(f"{step.script} ended without {step.result}; the lines above say what it did")
        return
    verdict = read_monitor(task.monitor)
    if verdict is not None and verdict.code:
        raise ChildError(verdict.code, verdict.message)
    raise _cause_of_death(step, status, stop)


def _command(step: Step, env_file: Path) -> list[str]:
    script = [str(PROJECT_DIR / step.script), "--env", str(env_file), "--progress", str(step.first), str(step.last)]
    if not _needs_launcher(step):
        return [sys.executable, *script]
    number = ["--nproc_per_node", str(step.processes), "--monitor_interval", _SECONDS_BETWEEN_LOOKS]
    return [sys.executable, "-m", f"{__package__}.launcher", *_meeting(step.options), *number, *script]


def _needs_launcher(step: Step) -> bool:
    return step.processes > 1 or step.options.num_machines > 1


def _meeting(options: ArgsOptions) -> list[str]:
    """The launcher's words for detectron2's --num-machines, --machine-rank and --dist-url."""
    place = options.meeting_place
    if place is None:
        return ["--standalone"]
    machines = ["--nnodes", str(options.num_machines), "--node_rank", str(options.machine_rank)]
    return [*machines, "--master_addr", place[0], "--master_port", str(place[1])]


def _environment(step: Step) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # a waiting thread that spins takes the core from whoever else is on the host: one neighbour made steps 6x slower
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if _needs_launcher(step):  # a module, and not below the folder in which somebody has started us
        folders = [str(PROJECT_DIR), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    if step.processes > 1:
        threads = max(1, len(os.sched_getaffinity(0)) // step.processes)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def _wait(child: subprocess.Popen[bytes], stop: StopSignal) -> int:
    """Wait for the end; a stop is passed on, and given a short time to be obeyed."""
    deadline_s: float | None = None
    while True:
        try:
            return child.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            if not stop.requested():
                continue
        if deadline_s is None:
            logger.warning("%s: asking the running step to save its work", stop.name)
            child.terminate()  # not its readers: one that dies under it makes torch raise in the middle of a step
            deadline_s = time.monotonic() + STOP_GRACE_S
        elif time.monotonic() > deadline_s:
            _kill_group(child)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself a moment ago


def _cause_of_death(step: Step, status: int, stop: StopSignal) -> ExecutorError:
    if stop.requested():
        return StoppedError(f"stopped by {stop.name} while {step.script} was running; {what_stays(step.script)}")
    return cause_of_death(step.script, step.script, status)


def cause_of_death(script: str, process: str, status: int) -> ExecutorError:
    """What is said about a process that ended without a word of its own.

    Args:
        script: its file.
        process: how to name it.
        status: its exit status, below zero the number of the signal that ended it.
    """
    if status == -signal.SIGKILL:
        return OutOfMemoryError(
            f"{process} was killed by the system (SIGKILL), most likely because main memory ran out;"
            f" lower batch_size or num_workers, or give the container more memory; {what_stays(script)}"
        )
    if status < 0:
        name = signal.Signals(-status).name
        return ExecutorError(f"{process} crashed ({name}); the lines above say where; please report them")
    return ExecutorError(f"{process} ended with exit status {status} and gave no reason; see the lines above")


def what_stays(script: str) -> str:
    """What a step that was cut short has left, in words."""
    if Path(script).name == TRAINING:
        return "finished stages are kept; start the task again on the same output folder to go on"
    return "start the task again on the same /out: finished pictures are kept"
