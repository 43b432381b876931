"""torch's launcher, and a reason when one of its processes dies without giving one.

    python -m ymir_detectron2.launcher --standalone --nproc_per_node 2 ymir_mining.py --env /in/env.yaml

Arguments are those of `torch.distributed.run`. The reason goes where the scripts leave theirs: monitor.txt and the log.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

from .contract.monitor import Monitor, read_monitor
from .contract.paths import DEFAULT_ENV_FILE
from .contract.task import monitor_place
from .errors import ExecutorError
from .launch import cause_of_death
from .verdict import report_failure

_CONSEQUENCE_S = 5.0  # what dies later than this after the first death does so because torch's launcher ended it
_SPECIFIC = 300_000  # from here on a code says what was wrong; below, that anything was


def main(argv: Sequence[str]) -> int:
    """Run the processes to their end; 0 when all of them succeeded."""
    from torch.distributed import run as launcher  # takes seconds
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = launcher.parse_args(list(argv))
    try:
        launcher.run(arguments)
    except ChildFailedError as error:
        return _report(error.failures, arguments)
    except SignalException as stop:  # passed on to the processes, which say what they make of it
        print(f"the processes of {arguments.training_script} were stopped ({stop})", flush=True)
        return 1
    return 0


def _report(failures: Mapping[int, Any], arguments: argparse.Namespace) -> int:
    """Say in monitor.txt and in the log which process was the first to die, unless a process has told more.

    Args:
        failures: torch's `ProcessFailure` by rank.
        arguments: of `torch.distributed.run`.
    """
    failure = _first_cause(list(failures.values()))
    script = Path(arguments.training_script).name
    process = f"process {failure.local_rank + 1} of {arguments.nproc_per_node} of {script}"
    error = cause_of_death(script, process, failure.exitcode)
    path, task_id = monitor_place(_env_file(arguments.training_script_args))
    said = read_monitor(path)
    if said is None or not said.code:
        return report_failure(Monitor(path, task_id), error)
    if failure.exitcode < 0 and said.code < _SPECIFIC:  # "stopped", "connection lost": what the death did to another
        return _replace(path, task_id, said.fraction, error)
    return 1


def _first_cause(failures: Sequence[Any]) -> Any:
    """The process that a signal ended first, else the first that failed.

    When one dies, others may lose the connection to it, and torch's launcher sends them SIGTERM, half a minute later
    SIGKILL: they are among the failures too.
    """
    first = min(failures, key=lambda failure: failure.timestamp)
    killed = [
        failure
        for failure in failures
        if failure.exitcode < 0
        and failure.exitcode != -signal.SIGTERM
        and failure.timestamp - first.timestamp <= _CONSEQUENCE_S
    ]
    return min(killed, key=lambda failure: failure.timestamp, default=first)


def _replace(path: Path, task_id: str, fraction: float, error: ExecutorError) -> int:
    """Leave a reason in the place of another one."""
    monitor = Monitor(path, task_id, fraction, fraction)
    monitor.report(0.0)  # the first report of a monitor takes away what stands there
    return report_failure(monitor, error)


def _env_file(script_args: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--env", type=Path, default=DEFAULT_ENV_FILE)
    return parser.parse_known_args(list(script_args))[0].env


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
