"""torch's launcher, which also reports why a process died that could not report it itself.

    python -m ymir_detectron2.distributed_launcher --standalone --nproc_per_node 2 ymir_mining.py --env /in/env.yaml

The arguments are those of `torch.distributed.run`. As for the scripts, the error goes to monitor.txt and to the log.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

from .contract.monitor import Monitor, read_monitor
from .contract.task import monitor_place
from .entrypoint import argument_parser
from .failure import report_failure
from .launch import exit_status_error

_CONSEQUENCE_S = 5.0  # processes that die later than this after the first one were ended by torch's launcher
_SPECIFIC_CODES = 300_000  # codes from here on name the cause; below is 160004, a failure of any kind


def main(argv: Sequence[str]) -> int:
    """Run the processes to their end; return 0 if all of them succeeded."""
    from torch.distributed import run as launcher  # takes seconds to import
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = launcher.parse_args(list(argv))
    try:
        launcher.run(arguments)
    except ChildFailedError as error:
        return _report(error.failures, arguments)
    except SignalException as stop:  # torch has passed it on to the processes, and they report how they ended
        print(f"the processes of {arguments.training_script} were stopped ({stop})", flush=True)
        return 1
    return 0


def _report(failures: Mapping[int, Any], arguments: argparse.Namespace) -> int:
    """Report the first process that died, unless a process has reported something more specific.

    Args:
        failures: torch's `ProcessFailure` by rank.
        arguments: of `torch.distributed.run`.
    """
    failure = _first_failure(list(failures.values()))
    script = Path(arguments.training_script).name
    process = f"process {failure.local_rank + 1} of {arguments.nproc_per_node} of {script}"
    error = exit_status_error(script, process, failure.exitcode)
    script_arguments, _ = argument_parser("", add_help=False).parse_known_args(arguments.training_script_args)
    path, task_id = monitor_place(script_arguments.env)
    line = read_monitor(path)
    if line is None or not line.code:
        return report_failure(Monitor(path, task_id), error)
    if failure.exitcode < 0 and line.code < _SPECIFIC_CODES:
        # "stopped" or "connection lost", reported by a process that the death of this one has ended
        monitor = Monitor(path, task_id, line.fraction, line.fraction)
        monitor.report(0.0)  # the first report of a monitor overwrites the error, which `fail` would keep
        return report_failure(monitor, error)
    return 1


def _first_failure(failures: Sequence[Any]) -> Any:
    """Return the process that a signal ended first, else the first that failed.

    After a death, other processes may fail because they lose the connection to it, and torch's launcher ends the rest
    with SIGTERM, half a minute later with SIGKILL: all of them are among the failures.
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
