"""Try one case after another and count, per fault, what was tried and what was violated."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

from .case import FAULTS, Case
from .disk_shim import DiskShim


@dataclass
class Findings:
    """What became of the cases, by the first of their faults."""

    tried: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    violated: dict[str, list[int]] = field(default_factory=dict)
    """The seeds."""

    def table(self) -> Iterator[str]:
        """Yield a line per fault, and the totals."""
        for name in FAULTS:
            if name in self.tried:
                seeds = self.violated.get(name, [])
                yield f"{name:22} {self.tried[name]:5} tried {len(seeds):4} violated  {' '.join(map(str, seeds))}"
            elif name in self.skipped:
                yield f"{name:22}     - {self.skipped[name]}"
        yield f"{'all':22} {sum(self.tried.values()):5} tried {sum(map(len, self.violated.values())):4} violated"


def make_shim(work: Path) -> DiskShim | None:
    """Return the compiled shim; None, with a line that says so, where there is no compiler."""
    try:
        return DiskShim(work)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"faults of the disk are left out: disk_shim.c cannot be compiled ({error})", flush=True)
        return None


def run_cases(
    work: Path, first_seed: int, findings: Findings, *, seconds: float, count: int, wanted: Callable[[Case], bool]
) -> None:
    """Try the wanted cases from a seed on, until the time is over or `count` have been tried.

    Args:
        work: a folder; the tasks without faults in it are used again by a later call.
        findings: gets what is found, at once: the call may be interrupted.
    """
    shim = make_shim(work)
    seed, end_s = first_seed, time.monotonic() + seconds
    while time.monotonic() < end_s and sum(findings.tried.values()) < count:
        case = Case(seed)
        seed += 1
        if wanted(case):
            _run_case(case, work, shim, findings)


def _run_case(case: Case, work: Path, shim: DiskShim | None, findings: Findings) -> None:
    name = case.faults[0]
    case.run(work, shim)
    if case.skipped:
        findings.skipped[name] = case.skipped
        return
    findings.tried[name] += 1
    print(f"{case}: {'VIOLATION' if case.violations else 'held'}", flush=True)
    if case.violations:
        findings.violated.setdefault(name, []).append(case.seed)
    for line in case.story:
        print(f"    {line}", flush=True)
    for violation in case.violations:
        print(f"  VIOLATION {violation}", flush=True)
