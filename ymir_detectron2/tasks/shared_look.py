"""A row for every candidate, made by all processes of a task, that outlives whatever interrupts them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence

from ..contract.index_file import IndexEntry
from ..contract.infer_result import ResultBox
from ..contract.unfinished import UNFINISHED_FOLDER, UnfinishedWork
from ..errors import DatasetError, ModelError, StoppedError
from ..inference.stream import BLOCK, LookedAt, Wanted
from ..settings import InferSettings, MiningSettings, read_settings
from ..version import describe_version
from .candidates import Candidates
from .progress import LookingProgress
from .script import TaskRun

logger = logging.getLogger(__name__)

Row = Dict[str, Any]
"""What is kept of one candidate: `boxes`, `score`, or `error`."""
RowOf = Callable[[IndexEntry, LookedAt], Row]

_POLL_S = 0.2
_CHANGES_NO_ROW = ("num_workers", "args_options", "diversity_distance", "diversity_pool")
"""Settings; args_options count as they were understood, not as they were written."""


class SharedLook:
    """A row for every candidate, made by all processes of the task, and kept on disk until the result is written.

    Blocks of candidates go to the processes in turn. A block that is on disk is not looked at again, whoever put it
    there: an earlier run that was interrupted, or mining in a task that infers as well.
    """

    def __init__(self, candidates: Candidates, kind: str, verb: str) -> None:
        """
        Args:
            kind: of the rows; those of another kind are of no use.
            verb: what is done with a picture, for the log: "inferred", "mined".
        """
        self._candidates = candidates
        self._run = candidates.run
        self._verb = verb
        self._total = len(candidates.index)
        folder = self._run.task.output_dir / UNFINISHED_FOLDER / f"{kind}-{fingerprint(candidates, kind)[:16]}"
        self._work = UnfinishedWork(folder, self._run.rank)

    def look(self, wanted: Callable[[], Wanted], row_of: RowOf) -> None:
        """Make the rows that are missing; in the main process, return when those of all processes are there.

        Args:
            wanted: called once if there is anything to look at.
            row_of: a row of a candidate that could be read.
        """
        blocks = range(-(-self._total // BLOCK))
        done = self._work.done()
        mine = [block for block in blocks[self._run.rank :: self._run.world_size] if block not in done]
        pictures_before = self._pictures_in(done)
        if self._run.is_main:
            self._work.remove_others()
        if pictures_before and self._run.is_main:
            logger.info("%d of %d images were %s before, going on with the rest", pictures_before, self._total,
                        self._verb)  # fmt: skip
        progress = LookingProgress(self._run, self._verb, self._total, pictures_before)
        with progress:
            if mine:
                self._look_at_blocks(mine, wanted(), row_of, progress)
            if self._run.is_spread:
                from .collecting import collect  # imports torch

                collect(self._work, self._work.folder)
            while self._run.is_main and len(self._work.done()) < len(blocks):
                if self._run.stop.requested():
                    raise StoppedError("stopped on request before all pictures were looked at; start the task again")
                progress.update(self._pictures_in(self._work.done()))
                time.sleep(_POLL_S)
        self.figures = progress.figures()

    def rows(self) -> Iterator[tuple[int, IndexEntry, Row]]:
        """Number, candidate and row of all candidates, in the order of the index; counts the unreadable ones.

        Raises:
            DatasetError: at the end, when not one picture could be read.
        """
        unreadable = 0
        numbers = iter(range(self._total))
        entries = self._candidates.index.entries(0, self._total)
        for _, rows in self._work.in_order():
            for row, number, entry in zip(rows, numbers, entries):  # rows first: their end must not cost a number
                if "error" in row:
                    unreadable += 1
                    self._candidates.findings.add("unreadable picture", row["error"])
                yield number, entry, row
        if unreadable == self._total:
            raise DatasetError(
                f"{self._run.task.candidate_index}: none of its {self._total} pictures can be read,"
                f" {self._candidates.findings.sentences()[-1]}; check the mounted folders"
            )

    def _look_at_blocks(
        self, blocks: Sequence[int], wanted: Wanted, row_of: RowOf,
        progress: LookingProgress,
    ) -> None:  # fmt: skip
        index = self._candidates.index
        bounds = [(block * BLOCK, min((block + 1) * BLOCK, self._total)) for block in blocks]
        paths = (entry for first, last in bounds for entry in index.entries(first, last))
        pictures = self._candidates.look_at(paths, wanted, self._candidates.tiling)
        for block, (first, last) in zip(blocks, bounds):
            rows: list[Row] = []
            before = self._pictures_in(self._work.done()) if self._run.is_main else 0
            for entry, picture in zip(index.entries(first, last), pictures):
                rows.append({"error": str(picture.error)} if picture.error else row_of(entry, picture))
                progress.update(before + len(rows))
            self._work.add(block, rows)

    def _pictures_in(self, blocks: set[int]) -> int:
        """Only the last block may hold fewer than BLOCK."""
        last = (self._total - 1) // BLOCK
        missing = (last + 1) * BLOCK - self._total
        return len(blocks) * BLOCK - (missing if last in blocks else 0)


def fingerprint(candidates: Candidates, kind: str) -> str:
    """Hex digest of all that decides what is found: rows of another fingerprint are not those of this task."""
    run = candidates.run
    keys: type[InferSettings] = MiningSettings if run.task.run_mining else InferSettings
    settings = dataclasses.asdict(read_settings(keys, run.task.config))
    for name in _CHANGES_NO_ROW:
        settings.pop(name, None)
    package = candidates.package
    decisive = {
        "kind": kind, "settings": settings, "options": dict(candidates.options.values),
        "engine": run.engine_name, "class_names": run.task.class_names,
        "gpu": run.task.gpu_ids != (), "version": describe_version(), "index": candidates.index.digest,
        "model": [_digest(path) for path in (package.weights, package.config) if path is not None],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def shares_the_look(run: TaskRun[Any]) -> bool:
    """Whether mining looks at every picture in a task that infers as well: then once is enough."""
    if not (run.task.run_mining and run.task.run_infer):
        return False
    return read_settings(MiningSettings, run.task.config).mining_algorithm != "random"


def as_result_boxes(row: Row) -> list[ResultBox]:
    """The boxes of a row, [] of an unreadable picture."""
    return [ResultBox(*fields) for fields in row.get("boxes", ())]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give the file of a trained model") from error
    return digest.hexdigest()
