"""torch's launcher, which also reports why a process died that could not report it itself.

    python -m ymir_detectron2.distributed_launcher --standalone --nproc_per_node 2 ymir_mining.py --env /in/env.yaml

The arguments are those of `torch.distributed.run`. The processes report their failures to this one, which reports the
one that came first, as the scripts do: to monitor.txt, and to its own supervisor or the log.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

from .contract.images_in_work import describe_shortage
from .contract.kept_work import describe_kept
from .contract.monitor import Monitor
from .contract.task import monitor_place
from .entrypoint import argument_parser
from .errors import ExecutorError, briefly
from .failure import report_failure
from .launch import PATIENT_STOP, ChildError, exit_status_error, is_training_script
from .supervision import FailureReport, ReportPipe, die_with_supervisor

_CONSEQUENCE_S = 5.0  # processes that die later than this after the first one were ended by torch's launcher
_POLL_S = 0.2
_SPECIFIC_CODES = 300_000  # codes from here on name the cause; below is 160004, a failure of any kind


def main(argv: Sequence[str]) -> int:
    """Run the processes to their end; return 0 if all of them succeeded."""
    die_with_supervisor()
    signal.signal(PATIENT_STOP, _begin_passing_stop_on)  # torch handles other signals, and leaves this one alone
    task_arguments, _ = argument_parser("", add_help=False).parse_known_args(argv)
    monitor = Monitor(*monitor_place(task_arguments.env))
    try:
        return _launch(argv, monitor)
    except Exception as error:  # of torch itself
        return report_failure(monitor, error)


def _begin_passing_stop_on(*_: object) -> None:
    """Ask the processes to stop, those too that torch has yet to start, and wait for them however long that takes."""
    threading.Thread(target=_pass_stop_on, daemon=True).start()


def _pass_stop_on() -> None:
    asked: set[int] = set()
    while True:
        for pid in set(_children()) - asked:
            asked.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)  # which they began with blocked, as this process did
        time.sleep(_POLL_S)


def _children() -> Iterator[int]:
    """Yield the ids of the processes whose parent is this one, see proc(5)."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                yield int(entry.name)


def _launch(argv: Sequence[str], monitor: Monitor) -> int:
    from torch.distributed import run as launcher  # takes seconds to import
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = launcher.parse_args(list(argv))
    with ReportPipe() as pipe:
        try:
            with pipe.as_stdin():
                launcher.run(arguments)
        except ChildFailedError as error:
            return _report(monitor, pipe.read(), list(error.failures.values()), arguments)
        except SignalException as stop:  # torch has passed it on to the processes
            print(f"the processes of {arguments.training_script} were stopped ({stop})", flush=True)
            reports = pipe.read()
            # none was far enough to report it: then our own supervisor does
            return report_failure(monitor, ChildError(*reports[0])) if reports else 1
        except Exception as error:
            if arguments.standalone:
                raise
            raise ExecutorError(
                f"machine {arguments.node_rank} of {arguments.nnodes} could not meet the others at"
                f" {arguments.master_addr}:{arguments.master_port} ({briefly(str(error))}); check --dist-url, whether"
                " that port of machine 0 is free and can be reached, and whether every machine was started"
            ) from error
    return 0


def _report(
    monitor: Monitor, reports: Sequence[FailureReport], failures: Sequence[Any], arguments: argparse.Namespace
) -> int:
    """Report the first process that died, unless a process has reported something more specific.

    Args:
        monitor: of the task.
        reports: of the processes, in order.
        failures: torch's `ProcessFailure` of each process that has failed.
        arguments: of `torch.distributed.run`.
    """
    death = _first_failure(failures)
    # a signal outweighs "stopped" and "connection lost", which a process reports that the death of this one has ended
    is_consequence = bool(reports) and death.exitcode < 0 and reports[0].code < _SPECIFIC_CODES
    if reports and not is_consequence:
        error: ExecutorError = ChildError(*reports[0])
    else:
        script = Path(arguments.training_script).name
        process = f"process {death.local_rank + 1} of {arguments.nproc_per_node} of {script}"
        shortage = describe_shortage(monitor.folder, arguments.node_rank, death.pid)
        is_training = is_training_script(script)
        kept = describe_kept(monitor.folder, is_training=is_training, machine_rank=int(arguments.node_rank))
        error = exit_status_error(process, death.exitcode, kept, shortage)
    for report in dict.fromkeys(reports):
        if report.message != str(error):
            print(f"another process has reported {report.code}: {report.message}")
    # one that was killed after it had written that it was stopped, and before it could report it, is a consequence too
    is_unreported = not reports and death.exitcode < 0
    return report_failure(monitor, error, replaces=is_consequence or is_unreported)


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
