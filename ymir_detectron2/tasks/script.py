"""The frame of the three task scripts: arguments, settings, engine, the first lines of the log, shutdown."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from dataclasses import dataclass, field
from typing import Callable, Generic, Iterator, Sequence

from ..config.read_settings import TaskSettings, read_settings, unimplemented_keys
from ..config.unknown_keys import unknown_keys
from ..contract.images_in_work import machine_rank
from ..contract.kept_work import describe_kept
from ..contract.monitor import Monitor
from ..contract.task import Task
from ..dataset.reading_guard import ReadingGuard, use_guard
from ..engines.registry import choose_engine
from ..entrypoint import START_VARIABLE, Process, argument_parser, read_task, run_process
from ..errors import ConfigError, ExecutorError, StoppedError, briefly
from ..stop_signal import StopSignal
from ..version import describe_version

logger = logging.getLogger(__name__)

_NUMBER = re.compile("0|[1-9][0-9]{0,5}")
_START = re.compile("[0-9A-Za-z]{0,64}")  # it becomes part of file names


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
    begin_s: float = field(default_factory=time.monotonic)
    """When this process began with the task, by `time.monotonic`."""

    def elapsed_s(self) -> float:
        """Return the seconds since this process began with the task."""
        return time.monotonic() - self.begin_s


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
        "--progress", type=_fraction, nargs=2, default=(0.0, 1.0), metavar=("FIRST", "LAST"),
        help="the share of the task's progress that is this script's",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    logging.captureWarnings(True)
    is_main = os.environ.get("RANK", "0").strip() in ("", "0")  # read properly where a failure can be reported

    def work(process: Process) -> None:
        settings_class, function = load()
        run = _prepare(process, description, settings_class)
        with _saying_what_is_kept(run), use_guard(_reading_guard(run)):
            function(run)
        if is_main:
            process.monitor.report(1.0)

    return run_process(
        arguments.env,
        work,
        log_level=logging.INFO if is_main else logging.WARNING,
        progress=arguments.progress,
        reports_progress=is_main,
    )


@contextlib.contextmanager
def _saying_what_is_kept(run: TaskRun[TaskSettings]) -> Iterator[None]:
    """Add to the reason of a stop what the task has kept, and what to do to go on."""
    try:
        yield
    except Exception as error:
        # a signal to the whole process group ends torch's data-loading workers too, and torch raises their death
        is_consequence = run.stop.requested() and not isinstance(error, ExecutorError)
        if not isinstance(error, StoppedError) and not is_consequence:
            raise
        reason = f"stopped by {run.stop.name}" if is_consequence else str(error)
        kept = describe_kept(run.task.output_dir, is_training=run.task.run_training, machine_rank=machine_rank())
        raise StoppedError(f"{reason}; {kept}") from error


def _prepare(process: Process, description: str, settings_class: type[TaskSettings]) -> TaskRun[TaskSettings]:
    """Read the files of the task, choose the engine, and log both."""
    task = read_task(process.env_file)
    settings = read_settings(settings_class, task.config)
    # the form shows keys that one engine lacks: `auto` is then the other one, whatever is installed
    missing = unimplemented_keys(settings, "detectron2") if settings.engine == "auto" else {}
    engine_name, reason = choose_engine(settings.engine, without_detectron2=", ".join(missing))
    rank, world_size = _share("RANK", "WORLD_SIZE")
    local_rank, local_world_size = _share("LOCAL_RANK", "LOCAL_WORLD_SIZE")
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
        is_main=rank == 0, is_local_main=local_rank == 0, rank=rank, world_size=world_size,
        is_multi_node=world_size > local_world_size, start=_start(),
    )  # fmt: skip


def _reading_guard(run: TaskRun[TaskSettings]) -> ReadingGuard:
    return ReadingGuard(
        # without start.py there is nobody who counts deaths at the next start, and removes the record in the end
        run.task.output_dir if run.start else None,
        machine_rank=machine_rank(),
        processes=_share("LOCAL_RANK", "LOCAL_WORLD_SIZE")[1],
        max_megapixels=run.settings.max_image_megapixels,
    )


def _share(rank_name: str, size_name: str) -> tuple[int, int]:
    """Return the number of this process among those that torch's launcher has started, and how many they are.

    Without importing torch, which takes seconds.

    Raises:
        ConfigError: the environment says something else.
    """
    rank, size = os.environ.get(rank_name, "0"), os.environ.get(size_name, "1")
    if not (_NUMBER.fullmatch(rank) and _NUMBER.fullmatch(size) and int(rank) < int(size)):
        raise ConfigError(
            f"environment variables {rank_name}={briefly(rank)} and {size_name}={briefly(size)}: expected a number from"
            " 0 on below another one, as torch's launcher sets them; remove both to run one process"
        )
    return int(rank), int(size)


def _start() -> str:
    start = os.environ.get(START_VARIABLE, "")
    if not _START.fullmatch(start):
        raise ConfigError(
            f"environment variable {START_VARIABLE}={briefly(start)}: expected letters and digits, as start.py sets"
            " it; remove it"
        )
    return start


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("not between 0 and 1")
    return value


def _requested_device(task: Task) -> str:
    """Describe what config.yaml asks for; which devices there are is known when torch is imported."""
    if task.gpu_ids is None:
        return "GPU 0 if there is one"
    return "GPU " + ",".join(map(str, task.gpu_ids)) if task.gpu_ids else "CPU"
