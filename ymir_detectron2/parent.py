"""The parent process of a task: it runs the steps one after the other, each in child processes."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from .atomic_file import remove_abandoned
from .contract.images_in_work import DEATHS_UNTIL_LEFT_OUT, count_deaths, read_deaths
from .contract.partial_results import remove_partial_results
from .entrypoint import START_VARIABLE, Process, read_task, run_start
from .errors import StorageError, printable
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
    task = read_task(process.env_file)
    steps = plan(task)
    output_dir, machine_rank = task.output_dir, steps[-1].options.machine_rank
    count_deaths(output_dir, machine_rank)
    for path, deaths in read_deaths(output_dir, machine_rank).items():
        treatment = "left out" if deaths >= DEATHS_UNTIL_LEFT_OUT else "read with no other one of these at a time"
        logger.warning(
            "%s was in work when the task was killed for want of memory (%d x): %s", printable(path), deaths, treatment
        )
    if process.inherited_fds and steps[-1].options.num_machines == 1:  # locked, and shared with no other machine
        remove_abandoned(output_dir)
    os.environ[START_VARIABLE] = secrets.token_hex(8)
    for step in steps:
        run_step(step, process.env_file, process.stop, process.inherited_fds, process.monitor)
    _clean_up(output_dir, machine_rank)


def _clean_up(output_dir: Path, machine_rank: int) -> None:
    """Remove what only a restart would have needed."""
    try:
        remove_partial_results(output_dir, machine_rank)
    except StorageError as error:  # the results are complete: no reason to fail
        logger.warning("the task has ended well, but its unfinished work is still there: %s", error)
