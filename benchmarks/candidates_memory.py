"""Whether a million candidates need more memory than a thousand.

    python3 -m benchmarks.candidates_memory [--quick]

Whole tasks of `start.py` on the CPU, drawn pictures of 64 pixels under many names and the smallest network that the
tests know, for what is asked is how memory grows, not how large a network is. `random` needs no pictures, so it alone
is measured over a million names. Memory is the most that any process of the task has held resident.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from benchmarks.measuring import describe_machine, parse
from benchmarks.page import promise, promises_table, publish, table
from benchmarks.task_runs import list_candidates, prepare_task, run_task

MOST_MIB = 100
"""What more candidates may add, by the design."""


_FORM = {"engine": "torch", "batch_size": 16}
"""Of all tasks; small pictures are looked at faster in larger batches."""


class Case(NamedTuple):
    """One task over a few candidates and over many."""

    name: str
    task: str
    """A key of `task_folder.TASKS`."""
    config: dict[str, Any]
    counts: tuple[int, int]


CASES = (
    Case("inference", "infer", {}, (1000, 20_000)),
    Case("mining, `cald`", "mining", {"mining_algorithm": "cald"}, (1000, 20_000)),
    Case("mining, `random`", "mining", {"mining_algorithm": "random"}, (1000, 1_000_000)),
)
QUICK_CASES = (
    Case("inference", "infer", {}, (8, 64)),
    Case("mining, `random`", "mining", {"mining_algorithm": "random"}, (1000, 20_000)),
)


class Taken(NamedTuple):
    """What one task took."""

    peak_mib: float
    seconds: float


def main() -> None:
    """Measure all cases."""
    arguments = parse(__doc__.splitlines()[0])
    with tempfile.TemporaryDirectory() as folder:
        content = _compare(QUICK_CASES if arguments.quick else CASES, Path(folder))
    publish("memory", f"{describe_machine('cpu')}\n\n{content}", arguments.page)


def _compare(cases: Sequence[Case], folder: Path) -> str:
    from benchmarks.stand_ins import TINY, write_model, write_pictures

    pictures = write_pictures(folder / "pictures", 16, height=64, width=64, different=16)
    write_model(folder / "model", TINY, 3, pictures[0], {})
    rows, promised = [], []
    for case in cases:
        few, many = (_run(case, count, pictures, folder) for count in case.counts)
        for count, taken in zip(case.counts, (few, many)):
            rows.append([case.name, count, taken.peak_mib, count / taken.seconds])
        grown = many.peak_mib - few.peak_mib
        promised.append(promise(f"{case.name}: MiB more for {case.counts[1]:,}", most=MOST_MIB, measured=grown))
    columns = ["task", "candidates", "peak, MiB", "candidates/s, start to exit"]
    return f"{table(columns, rows)}\n\n{promises_table(promised)}"


def _run(case: Case, count: int, pictures: Sequence[Path], folder: Path) -> Taken:
    looks = case.config.get("mining_algorithm") != "random"
    with tempfile.TemporaryDirectory(dir=folder) as root:
        env_file = prepare_task(Path(root), case.task, folder / "model", {**_FORM, **case.config})
        list_candidates(Path(root), pictures if looks else (), count)
        start_s = time.perf_counter()
        peak_mib = run_task(env_file)
        return Taken(peak_mib, time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
