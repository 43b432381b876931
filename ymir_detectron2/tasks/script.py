"""The frame of the three task scripts: arguments, settings, engine, the first lines of the log, shutdown."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Callable, Generic, Sequence

from ..config.settings import TaskSettings, read_settings, unknown_keys
from ..contract.monitor import Monitor
from ..contract.task import Task, load_task
from ..engines.registry import choose_engine
from ..entrypoint import START_VARIABLE, Process, argument_parser, run_process
from ..errors import ExecutorError, StoppedError
from ..stop_signal import StopSignal
from ..version import describe_version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskRun(Generic[TaskSettings]):
    """The arguments of a task function."""

    task: Task
    settings: TaskSettings
    engine_name: str
    monitor: Monitor
    stop: StopSignal
    is_main: bool
    """Rank 0: the process that writes results, reports progress and logs; the others share the computation."""
    is_local_main: bool
    """Local rank 0: the process that prepares what all processes of its machine read."""
    rank: int = 0
    """Of this process, in [0, world_size)."""
    world_size: int = 1
    """Number of processes on all machines."""
    is_multi_node: bool = False
    """Several machines, which need not see the same /out."""
    start: str = ""
    """Names this start of the task, the same for all its steps and processes on this machine."""


def run_script(
    description: str,
    load: Callable[[], tuple[type[TaskSettings], Callable[[TaskRun[TaskSettings]], None]]],
    argv: Sequence[str] | None = None,
) -> int:
    """Run one task in this process; return the exit status of its script.

    Args:
        description: one word for the log, e.g. "training".
        load: imports and returns the keys of config.yaml that the task has, and the function that does the work.
            Whatever it or the function raises is reported.
        argv: command line without the script; None: that of this process.
    """
    parser = argument_parser(description)
    parser.add_argument(
        "--progress", type=float, nargs=2, default=(0.0, 1.0), metavar=("FIRST", "LAST"),
        help="the share of the task's progress that is this script's",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    logging.captureWarnings(True)
    is_main = _launcher_number("RANK", 0) == 0

    def work(process: Process) -> None:
        try:
            settings_class, function = load()
            function(_prepare(process, description, settings_class))
            if is_main:
                process.monitor.report(1.0)
        except ExecutorError:
            raise
        except Exception as error:
            # a signal to the whole process group ends torch's data-loading workers too, and torch raises their death
            if process.stop.requested():
                raise StoppedError(
                    f"{description} was stopped by {process.stop.name}; what it had finished before is kept"
                ) from error
            raise

    return run_process(
        arguments.env,
        work,
        log_level=logging.INFO if is_main else logging.WARNING,
        progress=arguments.progress,
        reports_progress=is_main,
    )


def _prepare(process: Process, description: str, settings_class: type[TaskSettings]) -> TaskRun[TaskSettings]:
    """Read the files of the task, choose the engine, and log both."""
    task = load_task(process.env_file)
    settings = read_settings(settings_class, task.config)
    engine_name, reason = choose_engine(settings.engine)
    rank, world_size = _launcher_number("RANK", 0), _launcher_number("WORLD_SIZE", 1)
    if rank == 0:
        process.monitor.report(0.0)  # has no effect unless the folder of monitor.txt was missing at the first time
        logger.info(
            "%s, device %s, engine %s (%s): %s",
            describe_version(), _requested_device(task), engine_name, reason, description,
        )  # fmt: skip
        logger.info("settings: %s", settings)
        for sentence in unknown_keys(task.config):
            logger.warning(sentence)
    return TaskRun(
        task, settings, engine_name, process.monitor, process.stop,
        is_main=rank == 0, is_local_main=_launcher_number("LOCAL_RANK", 0) == 0, rank=rank, world_size=world_size,
        is_multi_node=world_size > _launcher_number("LOCAL_WORLD_SIZE", 1), start=os.environ.get(START_VARIABLE, ""),
    )  # fmt: skip


def _launcher_number(name: str, default: int) -> int:
    """Return what torch's launcher has set, without importing torch, which takes seconds."""
    return int(os.environ.get(name, str(default)))


def _requested_device(task: Task) -> str:
    """Describe what config.yaml asks for; which devices there are is known when torch is imported."""
    if task.gpu_ids is None:
        return "GPU 0 if there is one"
    return "GPU " + ",".join(map(str, task.gpu_ids)) if task.gpu_ids else "CPU"
