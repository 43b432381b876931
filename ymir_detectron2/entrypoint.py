"""What start.py and the task scripts have in common: --env, the log, graceful shutdown, monitor.txt, and how they fail.

start.py uses it too, so it imports neither torch nor NumPy.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .config.args_options import parse_args_options
from .config.value_files import with_value_files
from .contract.monitor import Monitor
from .contract.output_lock import OutputLock
from .contract.paths import DEFAULT_ENV_FILE, PathMap
from .contract.task import Task, load_task, monitor_place, read_args_options
from .errors import ConfigError, OutputInUseError, escape_unencodable, printable, without_credentials
from .failure import report_failure
from .stop_signal import StopSignal

_default_excepthook = threading.excepthook  # `threading.__excepthook__` since Python 3.10

START_VARIABLE = "YMIR_START"
"""Set by start.py: names this start of the task, the same for all its steps and processes on this machine."""
DEBUG_VARIABLE = "YMIR_DEBUG"
"""Set to anything: the log has the messages of level DEBUG too, such as the resolved configuration."""
LOG_FORMAT = "%(levelname)-8s [%(asctime)s] %(name)s: %(message)s"


@dataclass(frozen=True)
class Process:
    """What every process of a task has before it reads anything but env.yaml."""

    env_file: Path
    monitor: Monitor
    stop: StopSignal
    inherited_fds: tuple[int, ...] = ()
    """Open files that its children have to inherit: the lock of the output folder."""


def argument_parser(description: str, *, add_help: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the one argument that all scripts take: where env.yaml is."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=add_help
    )
    parser.add_argument("--env", type=Path, default=DEFAULT_ENV_FILE, help="the platform's env.yaml (%(default)s)")
    return parser


def read_task(env_file: Path) -> Task:
    """Read env.yaml and config.yaml as a process of a task does: with the content of files in place of `@FILE`.

    Raises:
        ConfigError, ObjectTypeError: as `load_task` and `with_value_files`.
    """
    task = load_task(env_file)
    return dataclasses.replace(task, config=with_value_files(task.config, task.paths.resolve))


def run_start(
    env_file: Path,
    work: Callable[[Process], None],
    *,
    stop: StopSignal | None = None,
    log_level: int = logging.WARNING,
) -> int:
    """Run `work` as `run_process` does, unless another start is working on the same output folder.

    For the first process of a task. Its children work under the same lock.
    """
    _configure_log(log_level)
    monitor_path, _ = monitor_place(env_file)
    try:
        with OutputLock(monitor_path.parent, _machine_rank(env_file)) as lock:
            return run_process(env_file, work, stop=stop, log_level=log_level, inherited_fds=lock.inherited_fds)
    except OutputInUseError as error:
        return report_failure(None, error)  # not in monitor.txt, which is that of the other start


class _PrintableFormatter(logging.Formatter):
    """Names of files and classes come from data: none of them may steer the terminal that shows the log. Addresses come
    from config.yaml, and the platform shows the log to everybody."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(without_credentials(super().format(record)))


def _configure_log(level: int) -> None:
    escape_unencodable(sys.stdout)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_PrintableFormatter(LOG_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    if level <= logging.INFO and os.environ.get(DEBUG_VARIABLE):
        # of this project only: at that level, some libraries write thousands of lines
        logging.getLogger(__package__).setLevel(logging.DEBUG)


def _machine_rank(env_file: Path) -> int:
    """Return --machine-rank; 0 where it cannot be read, which is reported as soon as monitor.txt may be written."""
    try:
        config = {"args_options": read_args_options(env_file)}
        text = with_value_files(config, PathMap.for_env_file(env_file).resolve)["args_options"]
        return parse_args_options(text).machine_rank
    except ConfigError:
        return 0


def run_process(
    env_file: Path,
    work: Callable[[Process], None],
    *,
    stop: StopSignal | None = None,
    log_level: int = logging.WARNING,
    progress: tuple[float, float] = (0.0, 1.0),
    reports_progress: bool = True,
    inherited_fds: tuple[int, ...] = (),
) -> int:
    """Run `work` from the first line of progress to an exit status; whatever it raises is reported.

    Args:
        env_file: the platform's env.yaml.
        work: does everything else.
        stop: None: not installed yet.
        log_level: of the messages that are printed.
        progress: of the whole task, in [0, 1], at the beginning and at the end of this process.
        reports_progress: False in all but the first of the processes that share the work.
        inherited_fds: see `Process`.
    """
    stop = stop or StopSignal().install()
    _configure_log(log_level)
    threading.excepthook = _report_thread_error
    monitor_path, task_id = monitor_place(env_file)
    monitor = Monitor(monitor_path, task_id, *progress)
    try:
        # at once: the platform sees that the container runs, and the error code of an earlier run in this folder goes;
        # without the folder, env.yaml itself may be what is missing: that is the failure to report
        if reports_progress and monitor_path.parent.is_dir():
            monitor.report(0.0)
        work(Process(env_file, monitor, stop, inherited_fds))
    except Exception as error:  # the outermost frame: anything else would end without an error code
        return report_failure(monitor, error)
    return 0


def _report_thread_error(error: threading.ExceptHookArgs) -> None:
    """Print the traceback of another thread, except for a full disk."""
    # TensorBoard's writer thread stores an OSError for the next call from this thread, which reports it; a traceback
    # that the thread prints as well might come after that report, whose reason has to be the last line of the log
    if not isinstance(error.exc_value, OSError):
        _default_excepthook(error)
