"""Command line of the fuzzing: all readers for some minutes, or single inputs of one reader."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Sequence

from .driver import READERS, Findings, fuzz, try_inputs


def main() -> int:
    """Print what was tried, per reader and in total; return 1 if a reader did anything that it should not."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all readers together")
    parser.add_argument("--reader", choices=READERS, help="one reader only")
    parser.add_argument("--seed", type=int, default=int(time.time()) * 1_000_000, help="of the first input")
    parser.add_argument("--inputs", type=int, help="try so many in this very process")
    options = parser.parse_args()
    if options.inputs:
        try_inputs(options.reader, options.seed, options.inputs)
        return 0
    return _fuzz_all([options.reader] if options.reader else READERS, options.minutes * 60, options.seed)


def _fuzz_all(readers: Sequence[str], seconds: float, seed: int) -> int:
    """Try each reader for the same time, as many of them at once as there are processors."""
    at_once = min(len(os.sched_getaffinity(0)), len(readers))
    num_inputs = num_violations = 0
    with ThreadPoolExecutor(at_once) as pool:  # each thread waits for one process
        fuzz_one = partial(fuzz, seconds=seconds * at_once / len(readers), first_seed=seed)
        for reader, findings in zip(readers, pool.map(fuzz_one, readers)):
            _report(reader, findings, seed)
            num_inputs += findings.num_inputs
            num_violations += len(findings.violations)
    print(f"total: {num_inputs} inputs over {len(readers)} readers, {num_violations} kinds of violations")
    return int(num_violations > 0)


def _report(reader: str, findings: Findings, seed: int) -> None:
    print(f"{reader}: {findings.num_inputs} inputs from seed {seed} on: {dict(findings.outcomes)}")
    for violation, first_seed in findings.violations.items():
        print(f"  VIOLATION {violation}; the first with seed {first_seed}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
