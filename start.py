"""The entrypoint of the image: reads the platform's env.yaml, runs the steps of the task, and reports how it ended.

    python3 start.py                              in the container: /in/env.yaml
    python3 start.py --env some/where/env.yaml    anywhere else
"""

import logging
import sys
from pathlib import Path

from ymir_detectron2.contract.partial_results import remove_partial_results
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.entrypoint import Process, argument_parser, run_process
from ymir_detectron2.errors import StorageError
from ymir_detectron2.launch import plan, run_step


def main() -> int:
    """Run the task; return 0 if every step of it succeeded."""
    return run_process(argument_parser(__doc__).parse_args().env, run_task)


def run_task(process: Process) -> None:
    """Run the steps of the task one after the other, each in child processes."""
    task = load_task(process.env_file)
    steps = plan(task)
    for step in steps:
        run_step(step, task, process.env_file, process.stop)
    _clean_up(task.output_dir, steps[-1].options.machine_rank)


def _clean_up(output_dir: Path, machine_rank: int) -> None:
    """Remove what only a restart would have needed."""
    try:
        remove_partial_results(output_dir, machine_rank)
    except StorageError as error:  # the results are complete: no reason to fail
        logging.warning("the task has ended well, but its unfinished work is still there: %s", error)


if __name__ == "__main__":
    sys.exit(main())
