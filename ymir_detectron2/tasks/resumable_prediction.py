"""Resumable prediction: a row for every candidate, made by all processes of a task and kept on disk until the result is
written, with its progress for the platform, the log, and a person at a terminal.

Candidates are sharded over the processes (GPUs) in blocks; the output is byte-identical for any number of processes on
devices of one kind (docs/precision.md).
What could not be read is tried again at every start: a folder may not have been mounted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

from ..config.mining_algorithms import MINING_ALGORITHMS
from ..config.prediction_settings import InferSettings, MiningSettings
from ..config.read_settings import read_settings, values_where
from ..contract.data_issues import TOO_LARGE, UNREADABLE
from ..contract.index_file import IndexEntry
from ..contract.infer_result import can_be_result_box
from ..contract.partial_results import PARTIAL_RESULTS_DIR, PartialResults
from ..dataset.image_reading import read_image_bgr
from ..errors import DatasetError, ImageError, ImageTooLargeError, ModelError, StoppedError
from ..file_digest import file_digest
from ..inference.predict import BLOCK, ImagePrediction, PredictionHooks
from ..version import describe_version
from .computed_in import note_arithmetic
from .prediction_progress import PredictionProgress
from .prediction_task import PredictionTask
from .script import TaskRun

logger = logging.getLogger(__name__)

Row = Dict[str, Any]
"""What is kept of one candidate, as JSON: `boxes` (`ResultBox` as lists), `score` and `findings`, or `error`."""
MakeRow = Callable[[IndexEntry, ImagePrediction], Row]
"""From a candidate that could be read and its prediction to its row."""
Start = Callable[[], Tuple[PredictionHooks, MakeRow]]
"""Loads the detector, and returns what to compute of each tile and what to keep of each image."""

_POLL_S = 0.2


class ResumablePrediction:
    """A row for every candidate, made by all processes of the task.

    Blocks of candidates go to the processes in turn. A block that is on disk is not predicted again, whichever run put
    it there: an earlier one that was interrupted, or mining in a task that infers as well.
    """

    def __init__(
        self, task: PredictionTask, kind: str, verb: str, to_come: int = 0,
        is_scored: Callable[[Row], bool] = lambda row: True,
    ) -> None:  # fmt: skip
        """
        Args:
            kind: of the rows, "mining" or "infer"; those of another kind are not used.
            verb: what is done with an image, for the log: "mined", "inferred".
            to_come: images that are predicted once more afterwards, for the time that is left.
            is_scored: tells whether a row of mining holds what its algorithm keeps, besides the score.
        """
        self._task = task
        self._is_scored = is_scored
        self._verb = verb
        self._to_come = to_come
        self._total = len(task.index)
        if reuses_predictions(task.run):
            kind = "mining+infer"  # the same rows for both steps
        folder = task.run.task.output_dir / PARTIAL_RESULTS_DIR / f"{kind}-{fingerprint(task, kind)[:16]}"
        self._has_scores, self._has_boxes = kind != "infer", kind != "mining"
        self._partial_results = PartialResults(folder, task.run.rank, task.run.start, self._can_be_block)

    def run(self, start: Start) -> None:
        """Predict the missing blocks; in the main process, return when those of all processes are complete.

        Args:
            start: called once if there is anything to predict.

        Raises:
            StoppedError: a stop was requested.
        """
        run, index, done = self._task.run, self._task.index, self._finished_before()
        block_count = -(-self._total // BLOCK)
        # in turn, not in halves: all processes come to the end of the index at about the same time
        missing = [block for block in range(run.rank, block_count, run.world_size) if block not in done]
        images_before = self._count_images(done)
        if run.is_main:
            self._partial_results.remove_others()
            if images_before:
                logger.info("%d of %d images were %s before, resuming with the rest", images_before, self._total,
                            self._verb)  # fmt: skip
        with PredictionProgress(run, self._verb, self._total, images_before, to_come=self._to_come) as progress:
            if missing:
                hooks, make_row = start()
                progress.begin()
                spans = [(block * BLOCK, min((block + 1) * BLOCK, self._total)) for block in missing]
                # one stream over all blocks, so that the next block is read while this one is predicted
                images = self._task.predict_images(
                    (entry for first, last in spans for entry in index.entries(first, last)), hooks, self._task.tiling
                )
                for block, (first, last) in zip(missing, spans):
                    rows: list[Row] = []
                    done_before = self._count_images(self._partial_results.done()) if run.is_main else 0
                    # entries first: when they end, zip must not have taken an image of the next block
                    for entry, image in zip(index.entries(first, last), images):
                        rows.append(_row(entry, image, make_row))
                        progress.update(done_before + len(rows))
                    if block == missing[0]:  # only now: a process that dies before has computed nothing
                        note_arithmetic(self._partial_results.folder, self._task.arithmetic)
                    self._partial_results.add(block, rows, provisional=_has_errors(rows))
            self._gather(block_count, progress)
        self.figures = progress.figures()

    def _finished_before(self) -> set[int]:
        """Return the blocks on disk, without those of this process that hold an image that can be read only now.

        Those are predicted as a whole: their digits depend on what shares a batch.
        """
        run, index, results = self._task.run, self._task.index, self._partial_results
        finished = results.done()
        for block, rows in results.provisional():
            if block % run.world_size != run.rank:  # its process checks it
                finished.add(block)
                continue
            entries = index.entries(block * BLOCK, min((block + 1) * BLOCK, self._total))
            unreadable = (entry.image_path for entry, row in zip(entries, rows) if "error" in row)
            if not any(map(_can_be_read, unreadable)):
                results.add(block, rows, provisional=True)
                finished.add(block)
        return finished

    def rows(self) -> Iterator[tuple[int, IndexEntry, Row]]:
        """Yield number, candidate and row of all candidates, in the order of the index; counts the unreadable ones.

        Raises:
            DatasetError: at the end, if not one image could be read.
        """
        unreadable = 0
        numbers = iter(range(self._total))
        entries = self._task.index.entries(0, self._total)
        for _, rows in self._partial_results.in_order():
            for row, number, entry in zip(rows, numbers, entries):  # rows first: their end must not cost a number
                for finding in row.get("findings", ()):
                    self._task.issues.add(finding, entry.asset)
                if "error" in row:
                    unreadable += 1
                    self._task.issues.add(TOO_LARGE if "is_large" in row else UNREADABLE, row["error"])
                yield number, entry, row
        if unreadable == self._total:
            raise DatasetError(
                f"{self._task.run.task.candidate_index}: none of its {self._total} images can be read,"
                f" {self._task.issues.summary_lines()[-1]}; check the mounted folders"
            )

    def _gather(self, block_count: int, progress: PredictionProgress) -> None:
        """Wait in the main process until the blocks of all processes are in its folder."""
        run = self._task.run
        if run.is_multi_node:
            from .gather_results import gather_blocks  # imports torch, which a task with nothing left to do avoids

            gather_blocks(self._partial_results)
        # through the folder only: on one machine, no process group is needed
        while run.is_main and len(self._partial_results.done()) < block_count:
            if run.stop.requested():
                raise StoppedError("stopped on request before all images were processed")
            progress.update(self._count_images(self._partial_results.done()))
            time.sleep(_POLL_S)

    def _can_be_block(self, number: int, rows: Any) -> bool:
        """Return whether this task can have written these rows: one damaged block would shift all that follow."""
        length = min(BLOCK, self._total - number * BLOCK)
        return type(rows) is list and 0 < length == len(rows) and all(map(self._can_be_row, rows))

    def _can_be_row(self, row: Any) -> bool:
        if type(row) is not dict or "error" in row:
            return type(row) is dict and type(row["error"]) is str
        boxes = row.get("boxes")
        has_boxes = not self._has_boxes or (type(boxes) is list and all(map(can_be_result_box, boxes)))
        has_score = not self._has_scores or (type(row.get("score")) in (int, float) and self._is_scored(row))
        return has_boxes and has_score

    def _count_images(self, blocks: set[int]) -> int:
        """Only the last block may hold fewer than BLOCK."""
        last = (self._total - 1) // BLOCK
        missing = (last + 1) * BLOCK - self._total
        return len(blocks) * BLOCK - (missing if last in blocks else 0)


def _row(entry: IndexEntry, image: ImagePrediction, make_row: MakeRow) -> Row:
    if image.error is not None:
        row: Row = {"error": str(image.error)}
        return {**row, "is_large": True} if isinstance(image.error, ImageTooLargeError) else row
    row = make_row(entry, image)
    return {**row, "findings": image.findings} if image.findings else row


def _has_errors(rows: Sequence[Row]) -> bool:
    return any("error" in row for row in rows)


def _can_be_read(path: Path) -> bool:
    try:
        read_image_bgr(path)
        return True
    except ImageError:
        return False


def fingerprint(task: PredictionTask, kind: str) -> str:
    """Return a hex digest of all that decides the rows: those of another fingerprint are not of this task."""
    run = task.run
    keys: type[InferSettings] = MiningSettings if run.task.run_mining else InferSettings
    settings = values_where(read_settings(keys, run.task.config), lambda effects: effects.affects_predictions)
    package = task.package
    decisive = {
        "kind": kind, "settings": settings, "options": dict(task.options.values),
        "engine": run.engine_name, "class_names": run.task.class_names,
        "gpu": run.task.gpu_ids != (), "version": describe_version(), "index": task.index.digest,
        # the bytes, not the paths: the platform unpacks the same model into another folder for every task
        "model": [_digest(path) for path in (package.weights, package.config) if path is not None],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def reuses_predictions(run: TaskRun[Any]) -> bool:
    """Return whether mining predicts every image in a task that infers as well: then one forward pass is enough."""
    if not (run.task.run_mining and run.task.run_infer):
        return False
    return MINING_ALGORITHMS[read_settings(MiningSettings, run.task.config).mining_algorithm].needs_images


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give the file of a trained model") from error
