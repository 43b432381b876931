"""A task as steps, each in child processes, and the error of a child that dies without reporting one.

The parent holds no torch: it can report a failure whatever happens to a child (contract, 3.1).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Sequence

from .atomic_file import watch_replacement
from .config.args_options import ArgsOptions, parse_args_options
from .config.mining_algorithms import MINING_ALGORITHMS
from .contract.images_in_work import describe_shortage
from .contract.kept_work import describe_kept
from .contract.monitor import Monitor
from .contract.task import Task
from .errors import ConfigError, ExecutorError, OutOfMemoryError, StoppedError, StorageError
from .stop_signal import StopSignal
from .stopping import interrupts_blocked, wait_for_child
from .supervision import ReportPipe
from .version import PROJECT_DIR

logger = logging.getLogger(__name__)

STOP_GRACE_S = 8.0  # `docker stop` kills after ten seconds by default: the error code has to be written by then
TRAINING = "ymir_train.py"
PATIENT_STOP = signal.SIGUSR1
"""Asks the launcher of several processes to pass SIGINT on and to wait; torch's own handlers kill after 30 s."""
_LAUNCHER_POLL_S = "0.2"  # how often torch's launcher checks its processes; torch 1.10 would do so every five seconds
_OF_LAUNCHERS = frozenset({
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT",
})  # fmt: skip
"""Variables that torch's launcher sets for the processes that it starts."""
_MINING_SHARE = 0.98  # mining runs the network and keeps the boxes: inference only writes them
_MINING_SHARE_WITHOUT_IMAGES = 0.02  # then inference runs it


class Step(NamedTuple):
    """One script to run."""

    script: str
    first: float
    last: float
    """The progress of the task, in [0, 1], at the beginning and at the end of this step."""
    result: Path
    """The file that must exist afterwards, on the machine that writes it."""
    processes: int
    """On this machine."""
    options: ArgsOptions = ArgsOptions({})
    """Number and rank of the machines, and their rendezvous."""
    output_dir: Path | None = None
    """Where its processes keep on record which images they have in work; None: nowhere."""

    @property
    def needs_launcher(self) -> bool:
        return self.processes > 1 or self.options.num_machines > 1


class ChildError(ExecutorError):
    """The error that a child has reported, with its code and sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def plan(task: Task) -> list[Step]:
    """Return the steps of a task: training, or mining and inference, mining first; with one process per GPU each.

    Raises:
        ConfigError: env.yaml asks for nothing, or for training together with something else; args_options are invalid.
    """
    requested = [name for name in ("run_training", "run_mining", "run_infer") if getattr(task, name)]
    if not requested:
        raise ConfigError("env.yaml: none of run_training, run_mining and run_infer is true; set one of them")
    if task.run_training and len(requested) > 1:
        raise ConfigError(f"env.yaml: {' and '.join(requested)} are true; training is a task of its own")
    options = parse_args_options(str(task.config.get("args_options") or ""))
    processes = _process_count(task, options)
    if task.run_training:
        return [Step(TRAINING, 0.0, 1.0, task.training_result, processes, options, task.output_dir)]
    share = _mining_share(task)
    steps = [
        Step("ymir_mining.py", 0.0, share, task.mining_result, processes, options, task.output_dir),
        Step("ymir_infer.py", share, 1.0, task.infer_result, processes, options, task.output_dir),
    ]
    return [step for step in steps if step.last > step.first]


def _mining_share(task: Task) -> float:
    """Return the share of the task's progress that belongs to mining; inference has the rest."""
    if not (task.run_mining and task.run_infer):
        return 1.0 if task.run_mining else 0.0
    name = str(task.config.get("mining_algorithm") or "").strip().lower()
    algorithm = MINING_ALGORITHMS.get(name)  # None: the default, or an unknown one, which the step itself will refuse
    return _MINING_SHARE if algorithm is None or algorithm.needs_images else _MINING_SHARE_WITHOUT_IMAGES


def _process_count(task: Task, options: ArgsOptions) -> int:
    """Return --num-gpus, which on the CPU means processes; by default one process per GPU of gpu_id."""
    if task.gpu_ids and options.num_gpus > len(task.gpu_ids):
        raise ConfigError(
            f"args_options: --num-gpus {options.num_gpus} is more than gpu_id names ({len(task.gpu_ids)});"
            " choose more GPUs or leave the flag out"
        )
    return options.num_gpus or len(task.gpu_ids or ()) or 1


def run_step(
    step: Step, env_file: Path, stop: StopSignal, inherited_fds: Sequence[int] = (), monitor: Monitor | None = None
) -> None:
    """Run one step to its end.

    Args:
        inherited_fds: open files that its processes keep open, such as that of a lock.
        monitor: where an error code is written in advance when a stop takes long; None: nowhere.

    Raises:
        ExecutorError: it failed: the error that a child has reported, or else one made from its exit status.
    """
    if stop.requested():
        raise StoppedError(f"stopped by {stop.name} before {step.script} began; {_kept(step)}")
    is_overdue = False

    def report_overdue() -> None:
        nonlocal is_overdue
        is_overdue = True
        logger.warning("the step has not ended after %.0f s; waiting for it, as long as whoever stops the task allows"
                       " (docker stop -t); a second signal kills it", STOP_GRACE_S)  # fmt: skip
        stopped = _stopped_error(step, stop)
        with contextlib.suppress(StorageError):  # of a full disk, which must not end a step that saves its work
            if monitor is not None:
                monitor.fail(stopped.code, str(stopped))

    with ReportPipe() as pipe, watch_replacement(step.result) as is_replaced:
        with interrupts_blocked():  # in the child, until it handles them: Python itself would raise KeyboardInterrupt
            # in a new session: a Ctrl-C at the terminal reaches the parent only, which passes it on once
            child = subprocess.Popen(  # noqa: S603
                _command(step, env_file), env={**_environment(step), **pipe.environment()}, stdin=pipe.write_fd,
                start_new_session=True, pass_fds=inherited_fds,
            )  # fmt: skip
        status = wait_for_child(
            child, stop, patient_signal=PATIENT_STOP if step.needs_launcher else signal.SIGINT, grace_s=STOP_GRACE_S,
            report_overdue=report_overdue,
        )  # fmt: skip
        reports = pipe.read()
        # not only whether it exists: it may be the result of an earlier run in the same folder
        is_written = is_replaced()
    if status == 0:
        if not is_written and step.options.machine_rank == 0:  # the other machines write none
            raise ExecutorError(f"{step.script} ended without {step.result}; the lines above say what it did")
        if is_overdue and monitor is not None:
            monitor.take_back_failure(step.last)
        return
    error = ChildError(*reports[0]) if reports else _unreported_error(step, status, stop, child.pid)
    # the last line will be of this error; monitor.txt may have what was written in advance, or the sentence of a
    # process whose report did not arrive, because torch's launcher was killed before it passed it on
    replaces = is_overdue or (stop.requested() and not reports and step.options.num_machines == 1)
    with contextlib.suppress(StorageError):
        if replaces and monitor is not None:
            monitor.fail(error.code, str(error), replaces=True)
    raise error


def _unreported_error(step: Step, status: int, stop: StopSignal, pid: int) -> ExecutorError:
    if stop.requested():
        return _stopped_error(step, stop)
    shortage = ""
    if step.output_dir is not None:
        shortage = describe_shortage(step.output_dir, step.options.machine_rank, None if step.needs_launcher else pid)
    return exit_status_error(step.script, status, _kept(step), shortage)


def _stopped_error(step: Step, stop: StopSignal) -> StoppedError:
    return StoppedError(f"stopped by {stop.name} while {step.script} was running; {_kept(step)}")


def _kept(step: Step) -> str:
    is_training = is_training_script(step.script)
    return describe_kept(step.output_dir, is_training=is_training, machine_rank=step.options.machine_rank)


def is_training_script(script: str) -> bool:
    """Return whether a script is that of training."""
    return Path(script).name == TRAINING


def _command(step: Step, env_file: Path) -> list[str]:
    script = [str(PROJECT_DIR / step.script), "--env", str(env_file), "--progress", str(step.first), str(step.last)]
    if not step.needs_launcher:
        return [sys.executable, *script]
    options = step.options
    # detectron2's --num-machines, --machine-rank and --dist-url in the words of torch's launcher
    rendezvous = ["--standalone"]
    if options.master_address is not None:
        host, port = options.master_address
        rendezvous = ["--nnodes", str(options.num_machines), "--node_rank", str(options.machine_rank),
                      "--master_addr", host, "--master_port", str(port)]  # fmt: skip
    processes = ["--nproc_per_node", str(step.processes), "--monitor_interval", _LAUNCHER_POLL_S]
    return [sys.executable, "-m", f"{__package__}.distributed_launcher", *rendezvous, *processes, *script]


def _environment(step: Step) -> dict[str, str]:
    # a cluster may set these for its own launchers; how many processes there are says args_options
    environment = {name: value for name, value in os.environ.items() if name not in _OF_LAUNCHERS}
    environment["PYTHONUNBUFFERED"] = "1"
    # a waiting thread that spins takes the core from whoever else is on the host: one neighbour made steps 6x slower
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if step.needs_launcher:
        # it is started as a module, which must be found wherever the working directory is
        folders = [str(PROJECT_DIR), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    if step.processes > 1:
        # by default torch's launcher gives each process one thread
        threads = max(1, len(os.sched_getaffinity(0)) // step.processes)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def exit_status_error(process: str, status: int, kept: str, shortage: str = "") -> ExecutorError:
    """Return the error of a process that has ended without reporting one.

    Args:
        process: how to name it.
        status: its exit status; below zero, minus the number of the signal that ended it.
        kept: what `describe_kept` says of its work.
        shortage: what `describe_shortage` says of its memory and its images.
    """
    if status == -signal.SIGKILL:  # as the kernel's out-of-memory killer does
        return OutOfMemoryError(
            f"{process} was killed by the system (SIGKILL), most likely because main memory ran out{shortage};"
            f" lower batch_size or num_workers, or give the container more memory; {kept}"
        )
    if status in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):  # nobody's fault: before it could handle them
        return StoppedError(f"{process} was stopped by {signal.Signals(-status).name}; {kept}")
    if status < 0:
        name = signal.Signals(-status).name
        return ExecutorError(f"{process} crashed ({name}); the lines above say where; please report them")
    return ExecutorError(f"{process} ended with exit status {status} and gave no reason; see the lines above")
