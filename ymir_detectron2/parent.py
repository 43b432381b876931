"""The parent process of a task: it runs the steps one after the other, each in child processes."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from .contract.partial_results import remove_partial_results
from .contract.task import load_task
from .entrypoint import START_VARIABLE, Process, run_start
from .errors import StorageError
from .launch import plan, run_step
from .stop_signal import StopSignal

logger = logging.getLogger(__name__)


def run_task(env_file: Path, stop: StopSignal) -> int:
    """Run a task; return 0 if every step of it succeeded.

    Args:
        env_file: the platform's env.yaml.
        stop: already installed.
    """
    return run_start(env_file, _run_steps, stop=stop)


def _run_steps(process: Process) -> None:
    task = load_task(process.env_file)
    steps = plan(task)
    os.environ[START_VARIABLE] = secrets.token_hex(8)
    for step in steps:
        run_step(step, process.env_file, process.stop, process.inherited_fds, process.monitor)
    _clean_up(task.output_dir, steps[-1].options.machine_rank)


def _clean_up(output_dir: Path, machine_rank: int) -> None:
    """Remove what only a restart would have needed."""
    try:
        remove_partial_results(output_dir, machine_rank)
    except StorageError as error:  # the results are complete: no reason to fail
        logger.warning("the task has ended well, but its unfinished work is still there: %s", error)
