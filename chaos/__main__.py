"""Command line of the faults: cases for some minutes, or one by its seed."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from .case import FAULTS
from .driver import Findings, run_cases
from .tasks import TASKS


def main() -> int:
    """Print what was tried, per fault; return 1 if anything was violated."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, help="repeat this case only; with --cases, the first one")
    parser.add_argument("--cases", type=int, help="at most so many")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    parser.add_argument("--work", type=Path, default=Path("chaos-work"), help="folder of the tasks (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the start that runs is ended too
    options.work.mkdir(parents=True, exist_ok=True)
    first = int(time.time()) if options.seed is None else options.seed
    count = options.cases or (1 if options.seed is not None else sys.maxsize)
    print(f"from seed {first} on", flush=True)
    findings = Findings()
    try:
        run_cases(
            options.work.resolve(), first, findings, seconds=options.minutes * 60, count=count,
            wanted=lambda case: case.faults[0] in options.faults and case.task in options.tasks,
        )  # fmt: skip
    finally:
        print("\n".join(findings.table()), flush=True)
    return int(bool(findings.violated))


if __name__ == "__main__":
    sys.exit(main())
