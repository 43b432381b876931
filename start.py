"""The entrypoint of the image: reads the platform's env.yaml, runs the task's steps, and always leaves a verdict.

    python3 start.py                              in the container: /in/env.yaml
    python3 start.py --env some/where/env.yaml    anywhere else
"""

import argparse
import logging
import sys
from pathlib import Path

from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.contract.paths import DEFAULT_ENV_FILE
from ymir_detectron2.contract.task import load_task, monitor_place
from ymir_detectron2.contract.unfinished import remove_unfinished
from ymir_detectron2.errors import StorageError
from ymir_detectron2.launch import plan, run_step
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.verdict import report_failure


def main() -> int:
    """Run the task; 0 when all of it succeeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, default=DEFAULT_ENV_FILE, help="the platform's env.yaml (%(default)s)")
    env_file = parser.parse_args().env
    stop = StopSignal().install()
    logging.basicConfig(stream=sys.stdout, format="%(levelname)-8s [%(asctime)s] %(name)s: %(message)s")

    monitor_path, task_id = monitor_place(env_file)
    monitor = Monitor(monitor_path, task_id)
    try:
        if monitor_path.parent.is_dir():  # else env.yaml itself may be what is missing: that has to be said first
            monitor.report(0.0)
        task = load_task(env_file)
        steps = plan(task)
        for step in steps:
            run_step(step, task, env_file, stop)
        _tidy(task.output_dir, steps[-1].options.machine_rank)
    except Exception as error:
        return report_failure(monitor, error)
    return 0


def _tidy(output_dir: Path, machine_rank: int) -> None:
    """Take away what only a further start would have needed; the results are there whether or not this succeeds."""
    try:
        remove_unfinished(output_dir, machine_rank)
    except StorageError as error:
        logging.warning("the task has ended well, but its unfinished work is still there: %s", error)


if __name__ == "__main__":
    sys.exit(main())
