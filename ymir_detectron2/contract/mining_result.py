"""result.tsv: the candidates with their scores, the most informative first.

    /in/assets/17/8e5f.jpg \\t -0.0123

The platform takes the first lines in file order and never reads the score, so sorting is this module's job. A million
candidates are sorted by an external merge sort: sorted runs of 50,000 go to disk, which bounds the memory.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import tempfile
from pathlib import Path
from typing import IO, Iterable, Iterator, Tuple

from ..atomic_file import atomic_write
from ..errors import DatasetError
from ..untrusted_files import MAX_PATH_CHARS, open_regular

_RUN = 50_000
"""Candidates sorted in memory at a time: about 10 MB, at 200 bytes for a path and its score."""
_BATCH = 200
"""Candidates per run in memory during the merge: 4,000 for the 20 runs of a million candidates."""

_Scored = Tuple[str, float]


def write_mining_result(path: Path, scores: Iterable[tuple[str, float]]) -> None:
    """Write (asset, score) pairs by descending score; ties are sorted by name, so that the order is deterministic.

    Args:
        path: result.tsv.
        scores: any number of pairs, in any order.

    Raises:
        StorageError: the file system refused; the old file, if any, is untouched.
    """
    # next to result.tsv, because /tmp may be small or in memory; TemporaryFile has no name, so nothing is left
    # behind even by SIGKILL
    with atomic_write(path) as file, tempfile.TemporaryFile("w+b", dir=path.parent) as runs_file:
        for asset, score in _sorted(scores, runs_file):
            file.write(f"{asset}\t{score:.6f}\n")


def _sorted(scores: Iterable[_Scored], runs_file: IO[bytes]) -> Iterator[_Scored]:
    runs: list[Iterator[_Scored]] = []
    rest = iter(scores)
    while True:
        run = sorted(itertools.islice(rest, _RUN), key=_key)
        if len(run) < _RUN:  # the last run stays in memory: a small set never touches the disk
            return heapq.merge(*runs, run, key=_key)
        runs.append(_write_run(run, runs_file))


def _key(pair: _Scored) -> tuple[float, str]:
    return -pair[1], pair[0]


def _write_run(run: list[_Scored], file: IO[bytes]) -> Iterator[_Scored]:
    """Append a sorted run to the file, one batch per line, and return an iterator that reads it back."""
    offset = file.seek(0, 2)
    for start in range(0, len(run), _BATCH):
        # float: NumPy scalars are not JSON. JSON keeps every digit of a score, which six decimals would not
        batch = [(asset, float(score)) for asset, score in run[start : start + _BATCH]]
        file.write(json.dumps(batch).encode("ascii") + b"\n")
    return _read_run(file, offset, len(run))


def _read_run(file: IO[bytes], offset: int, count: int) -> Iterator[_Scored]:
    for _ in range(0, count, _BATCH):
        file.seek(offset)  # all runs share one file, and the merge reads them in turn
        line = file.readline()
        offset += len(line)
        yield from json.loads(line)


def read_mining_result(path: Path) -> Iterator[tuple[str, float]]:
    """Yield the asset and the score of each line of a result.tsv, in the order of the file.

    Raises:
        DatasetError: the file is missing or something else; found when the damaged line is reached.
    """
    try:
        with open_regular(path) as file:
            # as bytes, in which a name may hold any line end but this one
            for line in iter(lambda: file.readline(4 * MAX_PATH_CHARS), b""):
                asset, tab, score = line.rstrip(b"\n").rpartition(b"\t")
                if not (tab and math.isfinite(float(score))):
                    raise ValueError("a line is not a path, a tab and a number")
                yield asset.decode("utf-8", "surrogateescape"), float(score)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); run mining first") from error
    except ValueError as error:
        raise DatasetError(f"{path}: is not a result of mining ({error}); run mining again") from error
