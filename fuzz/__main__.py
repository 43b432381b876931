"""Command line of the fuzzing: all readers for some minutes, or single inputs of one reader."""

from __future__ import annotations

import argparse
import sys
import time

from .driver import READERS, fuzz, try_inputs


def main() -> int:
    """Print what was tried, per reader; return 1 if a reader did anything that it should not."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all readers together")
    parser.add_argument("--reader", choices=READERS, help="one reader only")
    parser.add_argument("--seed", type=int, default=int(time.time()) * 1_000_000, help="of the first input")
    parser.add_argument("--inputs", type=int, help="try so many in this very process")
    options = parser.parse_args()
    if options.inputs:
        try_inputs(options.reader, options.seed, options.inputs)
        return 0
    readers = [options.reader] if options.reader else READERS
    has_failed = False
    for reader in readers:
        findings = fuzz(reader, options.minutes * 60 / len(readers), options.seed)
        print(f"{reader}: {findings.num_inputs} inputs from seed {options.seed} on: {dict(findings.outcomes)}")
        for violation, seed in findings.violations.items():
            print(f"  VIOLATION {violation}; the first with seed {seed}")
        has_failed = has_failed or bool(findings.violations)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
