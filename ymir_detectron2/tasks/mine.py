"""Mining: candidates in, result.tsv out, the pictures most worth labelling first."""

from __future__ import annotations

import heapq
import logging
from array import array
from typing import Any, Iterator, Sequence

import numpy as np

from ..contract.index_file import IndexEntry
from ..contract.mining_result import write_mining_result
from ..engines.base import Detections, Pixels
from ..inference.parts import Tiling
from ..inference.stream import LookedAt, Wanted
from ..mining.algorithm import Algorithm
from ..mining.algorithms import UNREADABLE_SCORE, build_algorithm
from ..mining.chance import Chance
from ..mining.diversity import read_embedding, resembles_a_better_one
from ..settings import MiningSettings
from .candidates import REPEATED_NAME, Candidates
from .script import TaskRun
from .shared_look import Row, SharedLook, shares_the_look

logger = logging.getLogger(__name__)

_NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def mine(run: TaskRun[MiningSettings]) -> None:
    """Score every candidate; the file appears when all have a score."""
    candidates = Candidates(run)
    if run.settings.mining_algorithm == "random":
        scores, figures = _scores_by_name(candidates), {"images": len(candidates.index)}
    else:
        shared = _look(candidates)
        if not run.is_main:
            return
        scores = array("d", (row.get("score", UNREADABLE_SCORE) for _, _, row in shared.rows()))
        figures = shared.figures
    if not run.is_main:
        return
    if run.settings.diversity_distance:
        _move_near_duplicates(candidates, scores)
    write_mining_result(run.task.mining_result, _named(candidates, scores))
    candidates.write_summary("mining-summary.json", figures)


def _named(candidates: Candidates, scores: array[float]) -> Iterator[tuple[str, float]]:
    """What result.tsv lists: each file name once, for the platform takes two of a name for one picture."""
    for number, entry in enumerate(candidates.index.entries(0, len(scores))):
        if candidates.index.repeats_a_name(number):
            candidates.findings.add(REPEATED_NAME, entry.asset)
        else:
            yield entry.asset, scores[number]


def _scores_by_name(candidates: Candidates) -> array[float]:
    chance = Chance(seed=candidates.settings.seed)
    entries = candidates.index.entries(0, len(candidates.index))
    return array("d", (chance.score(entry.asset, _NOTHING, ()) for entry in entries))


def _look(candidates: Candidates) -> SharedLook:
    """Have every candidate looked at; its row holds the score, and the boxes where they are wanted as well."""
    run = candidates.run
    scorer = _Scorer(candidates)
    shared = SharedLook(candidates, "mining+infer" if shares_the_look(run) else "mining", "mined")
    shared.look(scorer.wanted, scorer.row)
    return shared


class _Scorer:
    """The algorithm of the task, which is made when the detector is there."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def wanted(self) -> Wanted:
        settings: MiningSettings = self._candidates.run.settings
        detector = self._candidates.detector()
        self._algorithm: Algorithm = build_algorithm(
            settings.mining_algorithm, detect=detector.detect, seed=settings.seed, class_names=detector.class_names,
            class_distribution_scores=settings.class_distribution_scores,
        )  # fmt: skip
        return Wanted(self._algorithm.read, self._algorithm.part_values)

    def row(self, entry: IndexEntry, picture: LookedAt) -> Row:
        assert picture.detections is not None
        row: Row = {"score": self._algorithm.score(entry.asset, picture.detections, picture.values)}
        if self._candidates.run.task.run_infer:
            row["boxes"] = self._candidates.boxes(picture)
        return row


def _move_near_duplicates(candidates: Candidates, scores: array[float]) -> None:
    """Of the best candidates, give those that resemble a better one the score of the last of them."""
    settings: MiningSettings = candidates.run.settings
    readable = (number for number, score in enumerate(scores) if score != UNREADABLE_SCORE)
    pool = heapq.nlargest(settings.diversity_pool, readable, key=scores.__getitem__)
    if not pool:
        return
    entries = (next(candidates.index.entries(number, number + 1)) for number in pool)
    pictures = candidates.look_at(entries, Wanted(read_embedding, _reading), Tiling())
    embeddings = np.stack([picture.values[0] for picture in pictures])
    moved = np.flatnonzero(resembles_a_better_one(embeddings, settings.diversity_distance))
    last_score = scores[pool[-1]]
    for position in moved.tolist():
        scores[pool[position]] = last_score
    logger.info("%d of the best %d candidates resemble a better one and are moved behind them", len(moved), len(pool))


def _reading(
    names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
) -> list[Any]:
    return list(readings)
