"""result.tsv: the candidates with their scores, the most informative first.

    /in/assets/17/8e5f.jpg \\t -0.0123

The platform takes the first lines in file order and never reads the score (contract, 3.3). A million candidates are
sorted in runs of 50,000 on disk, so that memory holds no more of them than that.
"""

from __future__ import annotations

import heapq
import itertools
import json
import tempfile
from pathlib import Path
from typing import IO, Iterable, Iterator, Tuple

from ..atomic_file import atomic_write

_RUN = 50_000
"""Candidates that are sorted in memory at a time."""
_BATCH = 200
"""Candidates of a run that are in memory while runs are merged."""

_Scored = Tuple[str, float]


def write_mining_result(path: Path, scores: Iterable[tuple[str, float]]) -> None:
    """Write (asset, score) pairs, highest score first, equal scores by name so that the order is always the same.

    Args:
        scores: any number of them, in any order.

    Raises:
        StorageError: the file system refused; the old file, if any, is untouched.
    """
    # without a name from its first moment on: even a kill leaves nothing of the runs behind
    with atomic_write(path) as file, tempfile.TemporaryFile("w+b", dir=path.parent) as runs_file:
        for asset, score in _in_order(scores, runs_file):
            file.write(f"{asset}\t{score:.6f}\n")


def _in_order(scores: Iterable[_Scored], runs_file: IO[bytes]) -> Iterator[_Scored]:
    runs: list[Iterator[_Scored]] = []
    rest = iter(scores)
    while True:
        run = sorted(itertools.islice(rest, _RUN), key=_key)
        if len(run) < _RUN:  # the last one
            return heapq.merge(*runs, run, key=_key)
        runs.append(_stored(run, runs_file))


def _key(pair: _Scored) -> tuple[float, str]:
    return -pair[1], pair[0]


def _stored(run: list[_Scored], file: IO[bytes]) -> Iterator[_Scored]:
    """Append a sorted run to the file, a batch per line, and return what will read it from there."""
    offset = file.seek(0, 2)
    for start in range(0, len(run), _BATCH):
        batch = [(asset, float(score)) for asset, score in run[start : start + _BATCH]]
        file.write(json.dumps(batch).encode("ascii") + b"\n")
    return _read_run(file, offset, len(run))


def _read_run(file: IO[bytes], offset: int, count: int) -> Iterator[_Scored]:
    for _ in range(0, count, _BATCH):
        file.seek(offset)
        line = file.readline()
        offset += len(line)
        yield from json.loads(line)
