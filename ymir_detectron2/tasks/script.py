"""What the three task scripts have in common: arguments, log, progress, and how they end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Generic, Sequence

from ..contract.monitor import Monitor
from ..contract.paths import DEFAULT_ENV_FILE
from ..contract.task import Task, load_task, monitor_place
from ..engines.choice import choose_engine
from ..errors import ExecutorError, StoppedError
from ..settings import TaskSettings, read_settings, unknown_keys
from ..stop_signal import StopSignal
from ..verdict import report_failure
from ..version import describe_version

logger = logging.getLogger(__name__)

LOG_FORMAT = "%(levelname)-8s [%(asctime)s] %(name)s: %(message)s"


@dataclass(frozen=True)
class TaskRun(Generic[TaskSettings]):
    """What a task function gets."""

    task: Task
    settings: TaskSettings
    engine_name: str
    monitor: Monitor
    stop: StopSignal
    is_main: bool
    """False in the processes that only help with the computing: they write no result."""
    is_first_here: bool
    """The first process of its machine prepares what all of them read."""
    rank: int = 0
    """Of this process among those of the task, from 0 on."""
    world_size: int = 1
    """How many processes of all machines share the task."""
    is_spread: bool = False
    """Over several machines, which need not see the same /out."""


def run_script(
    description: str,
    settings_class: type[TaskSettings],
    function: Callable[[TaskRun[TaskSettings]], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Run one task from start to verdict; the exit status of its script.

    Args:
        description: one word for the log, e.g. "training".
        settings_class: the keys of config.yaml that the task understands.
        function: does the work; whatever it raises becomes the verdict.
    """
    arguments = _parse(description, argv)
    # as torch's launcher numbers the processes, of all machines and of this one
    rank, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    world_size, local_size = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    is_main = rank == 0
    logging.basicConfig(stream=sys.stdout, level=logging.INFO if is_main else logging.WARNING, format=LOG_FORMAT)
    logging.captureWarnings(True)
    stop = StopSignal().install()
    monitor_path, task_id = monitor_place(arguments.env)
    monitor = Monitor(monitor_path, task_id, *arguments.progress)
    try:
        if is_main and monitor_path.parent.is_dir():  # the reason of an earlier run in this folder must not stay
            monitor.report(0.0)
        task = load_task(arguments.env)
        settings = read_settings(settings_class, task.config)
        engine_name, reason = choose_engine(settings.engine)
        if is_main:
            monitor.report(0.0)
            logger.info(
                "%s, device %s, engine %s (%s): %s",
                describe_version(), _wanted_device(task), engine_name, reason, description,
            )  # fmt: skip
            logger.info("settings: %s", settings)
            for sentence in unknown_keys(task.config):
                logger.warning(sentence)
        function(
            TaskRun(
                task, settings, engine_name, monitor, stop, is_main, local_rank == 0, rank, world_size,
                is_spread=world_size > local_size,
            )
        )  # fmt: skip
        if is_main:
            monitor.report(1.0)
    except ExecutorError as error:
        return report_failure(monitor, error)
    except Exception as error:
        if stop.requested():  # whoever sent the signal to a whole process group also ended torch's readers
            stopped = StoppedError(f"{description} was stopped by {stop.name}; what it had finished before is kept")
            return report_failure(monitor, stopped)
        return report_failure(monitor, error)
    return 0


def _wanted_device(task: Task) -> str:
    """What config.yaml asks for; what is really there is known when torch is."""
    if task.gpu_ids is None:
        return "GPU 0 if there is one"
    return "GPU " + ",".join(map(str, task.gpu_ids)) if task.gpu_ids else "CPU"


def _parse(description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--env", type=Path, default=DEFAULT_ENV_FILE, help="the platform's env.yaml (%(default)s)")
    parser.add_argument(
        "--progress", type=float, nargs=2, default=(0.0, 1.0), metavar=("FIRST", "LAST"),
        help="the part of the task's progress that is this script's",
    )  # fmt: skip
    return parser.parse_args(argv)
