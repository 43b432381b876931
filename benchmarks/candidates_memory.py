"""Memory of inference and mining by number of candidates: does a million need more than a thousand?

    python3 -m benchmarks.candidates_memory [--quick]

Whole tasks of `start.py` on the CPU, with drawn images of 64 pixels under many names and the smallest network of the
tests: the question is how memory grows, not how large a network is. `random` needs no images, and `submodular` is
started with the rows of all images on disk, as if it had been interrupted before it ordered them: so these two are
measured over a million names. Memory is the largest resident memory of any process of the task.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from benchmarks.measuring import describe_machine, parse
from benchmarks.page import promise, promises_table, publish, table
from benchmarks.task_runs import list_candidates, prepare_task, run_task, write_evidence

MAX_GROWTH_MIB = 100
"""Promised limit of the growth from few to many candidates."""

_FORM = {"engine": "torch", "batch_size": 16}
"""For all tasks; small images are faster in larger batches."""


class Case(NamedTuple):
    """One task over a few candidates and over many."""

    name: str
    task: str
    """A key of `task_folder.TASKS`."""
    config: dict[str, Any]
    counts: tuple[int, int]
    has_rows: bool = False
    """All images are predicted already, so that they need not exist."""


CASES = (
    Case("inference", "infer", {}, (1000, 20_000)),
    # CALD holds five images per candidate: the algorithm that could grow most
    Case("mining, `cald`", "mining", {"mining_algorithm": "cald"}, (1000, 20_000)),
    Case("mining, `submodular`", "mining", {"mining_algorithm": "submodular"}, (1000, 1_000_000), has_rows=True),
    Case("mining, `random`", "mining", {"mining_algorithm": "random"}, (1000, 1_000_000)),
)
QUICK_CASES = (
    Case("inference", "infer", {}, (8, 64)),
    Case("mining, `submodular`", "mining", {"mining_algorithm": "submodular"}, (1000, 3000), has_rows=True),
    Case("mining, `random`", "mining", {"mining_algorithm": "random"}, (1000, 20_000)),
)


class Usage(NamedTuple):
    """Memory and time of one task."""

    peak_mib: float
    seconds: float


def main() -> None:
    """Measure all cases."""
    arguments = parse(__doc__.splitlines()[0])
    with tempfile.TemporaryDirectory() as folder:
        content = _compare(QUICK_CASES if arguments.quick else CASES, Path(folder))
    publish("memory", f"{describe_machine('cpu')}\n\n{content}", arguments.page)


def _compare(cases: Sequence[Case], folder: Path) -> str:
    from benchmarks.synthetic_data import TINY, write_images, write_model

    # 16 files under many names: a million files would measure the disk
    images = write_images(folder / "images", 16, height=64, width=64, different=16)
    write_model(folder / "model", TINY, 3, images[0], {})
    rows, promised = [], []
    for case in cases:
        few, many = (_run(case, count, images, folder) for count in case.counts)
        for count, usage in zip(case.counts, (few, many)):
            rows.append([case.name, count, usage.peak_mib, count / usage.seconds])
        growth_mib = many.peak_mib - few.peak_mib
        what = f"{case.name}: MiB more for {case.counts[1]:,}"
        promised.append(promise(what, most=MAX_GROWTH_MIB, measured=growth_mib))
    columns = ["task", "candidates", "peak, MiB", "candidates/s, start to exit"]
    return f"{table(columns, rows)}\n\n{promises_table(promised)}"


def _run(case: Case, count: int, images: Sequence[Path], folder: Path) -> Usage:
    reads_images = not case.has_rows and case.config.get("mining_algorithm") != "random"
    with tempfile.TemporaryDirectory(dir=folder) as root:  # removed after each task: a million links take space
        env_file = prepare_task(Path(root), case.task, folder / "model", {**_FORM, **case.config})
        list_candidates(Path(root), images if reads_images else (), count)
        if case.has_rows:
            write_evidence(env_file)
        start_s = time.perf_counter()
        peak_mib = run_task(env_file)
        return Usage(peak_mib, time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
