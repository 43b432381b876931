"""Order candidates together: the score of an image is what it adds to those before it (`mining/submodular.py`).

One pass over the rows on disk gives the gain of every image by itself. The best of them, the pool, are ordered
greedily; the others follow by their own gains. Memory holds the pool, and nine bytes per candidate.

Letters: N candidates, n of them in the pool, T peaks of each, K classes, D entries of a feature.
"""

from __future__ import annotations

import heapq
import logging
import time
from array import array
from typing import Callable, Iterator, NamedTuple, Sequence

import numpy as np

from ..config.prediction_settings import MiningSettings
from ..contract.model_package import STATISTICS_NAME
from ..contract.partial_results import PARTIAL_RESULTS_DIR
from ..errors import ExecutorError, ModelError, StoppedError
from ..evaluation.training_statistics import read_training_statistics
from ..mining.algorithms import UNREADABLE_SCORE
from ..mining.evidence import peaks_of_row
from ..mining.explanation import ScoreParts
from ..mining.peaks import MOST_PEAKS, NAME, ImagePeaks
from ..mining.submodular import Candidates, Labelled, greedy_picks
from .prediction_task import PredictionTask
from .resumable_prediction import ResumablePrediction

logger = logging.getLogger(__name__)

MOST_POOLED = 20_000
"""Images that are compared with each other."""
_EARLIER, _LATER, _LEFT_OUT = 0, 1, 2
"""Tiers: with `empty_images`, all candidates of one come before all of the other. Left out are those that the result
does not list, and those that could not be read."""

OnPick = Callable[[int, float, ScoreParts], None]
"""Number, score and parts of an image of the pool, in the order of the result."""


class _Candidate(NamedTuple):
    """A candidate as the pool sorts it: the smaller, the better."""

    tier: int
    minus_own_gain: float
    asset: str
    number: int
    """Of no other candidate: what follows is never compared."""
    peaks: ImagePeaks
    is_empty: bool


class _Ranking(NamedTuple):
    """What is kept of all N candidates."""

    own_gains: array[float]
    """UNREADABLE_SCORE of those that are left out."""
    tiers: bytearray

    def is_in(self, tier: int) -> np.ndarray:
        """Return which candidates are of a tier, (N,) bool."""
        return np.frombuffer(self.tiers, dtype=np.uint8) == tier

    def own_gains_of(self, tier: int) -> np.ndarray:
        return np.frombuffer(self.own_gains)[self.is_in(tier)]


def order_together(task: PredictionTask, prediction: ResumablePrediction, on_pick: OnPick) -> array[float]:
    """Return a score for every candidate, by which result.tsv is sorted; counts the data issues of the rows.

    Args:
        task: with an algorithm that orders candidates together.
        prediction: with all rows.
        on_pick: called for each image of the pool.

    Raises:
        StoppedError: a stop was requested.
        DatasetError: not one image could be read.
    """
    start_s = time.monotonic()
    class_names = task.detector().class_names
    labelled = _labelled_set(task, class_names)
    ranking = _Ranking(array("d", [UNREADABLE_SCORE]) * len(task.index), bytearray([_LEFT_OUT]) * len(task.index))
    # nsmallest() never holds more than these
    pool = heapq.nsmallest(MOST_POOLED, _candidates(task, prediction, labelled.class_factors(), ranking))
    if not pool:  # all that could be read have the name of an unreadable one
        return ranking.own_gains
    logger.info("ordering the best %d of %d candidates, each by what it adds to those before it", len(pool),
                len(task.index))  # fmt: skip
    # by name: of equal gains the first is chosen first, whatever the order of the index
    pool.sort(key=lambda candidate: candidate.asset)
    scores = _score(task, pool, labelled, ranking, on_pick)
    logger.info("ordered the candidates in %.1f s", time.monotonic() - start_s)
    return scores


def _labelled_set(task: PredictionTask, class_names: Sequence[str]) -> Labelled:
    """Return what the model's package tells of its training; without it, nothing is labelled and classes are equal."""
    nothing = Labelled(np.zeros(len(class_names)), np.ones(len(class_names)), np.zeros((0, 1), dtype=np.int8))
    path = task.package.statistics
    if path is None:
        logger.info("the model has no %s: no image counts as labelled, and all classes the same", STATISTICS_NAME)
        return nothing
    try:
        statistics = read_training_statistics(path)
    except ExecutorError as error:
        logger.warning("%s; going on without it: no image counts as labelled, and all classes the same", error)
        return nothing
    by_name = {one.name: one for one in statistics.classes}
    known = [by_name.get(name) for name in class_names]
    return Labelled(
        np.array([0.0 if one is None else float(one.images) for one in known]),
        # from 1, a class that is always found, to 2
        np.array([1.0 if one is None or one.ap50 is None else 2.0 - one.ap50 for one in known]),
        statistics.feature_matrix(NAME),
    )


def _candidates(
    task: PredictionTask, prediction: ResumablePrediction, class_factors: np.ndarray, ranking: _Ranking
) -> Iterator[_Candidate]:
    """Yield the candidates that the result ranks, with what each adds to the labelled images; notes it in the ranking.

    Args:
        class_factors: (K,) of `Labelled`.

    Raises:
        StoppedError: a stop was requested.
        ModelError: the rows are those of another model.
    """
    settings: MiningSettings = task.run.settings
    full, empty = {"first": (_LATER, _EARLIER), "last": (_EARLIER, _LATER)}.get(settings.empty_images, (_EARLIER,) * 2)
    for number, entry, row in prediction.rows():
        if task.run.stop.requested():
            raise StoppedError("stopped on request while candidates were ordered")
        if "error" in row or task.index.repeats_a_name(number):
            continue
        peaks, is_empty = peaks_of_row(row), row.get("is_empty") is True
        if (peaks.class_ids >= len(class_factors)).any():
            raise ModelError(
                f"{task.run.task.output_dir / PARTIAL_RESULTS_DIR}: holds images that were mined with more than the"
                f" {len(class_factors)} classes of the model; remove this folder and start again"
            )
        gain = float((peaks.probs.astype(np.float64) * class_factors[peaks.class_ids]).sum())
        ranking.own_gains[number], ranking.tiers[number] = gain, empty if is_empty else full
        yield _Candidate(ranking.tiers[number], -gain, entry.asset, number, peaks, is_empty)


def _as_arrays(pool: Sequence[_Candidate]) -> Candidates:
    dim = max(candidate.peaks.features.shape[1] for candidate in pool)
    probs = np.zeros((len(pool), MOST_PEAKS))
    class_ids = np.zeros((len(pool), MOST_PEAKS), dtype=np.int64)
    features = np.zeros((len(pool), MOST_PEAKS, dim), dtype=np.int8)
    for position, (*_, peaks, _) in enumerate(pool):
        count, width = peaks.features.shape
        probs[position, :count], class_ids[position, :count] = peaks.probs, peaks.class_ids
        features[position, :count, :width] = peaks.features
    return Candidates(probs, class_ids, features, np.array([candidate.is_empty for candidate in pool]))


def _score(
    task: PredictionTask, pool: Sequence[_Candidate], labelled: Labelled, ranking: _Ranking, on_pick: OnPick
) -> array[float]:
    """Return the scores of all candidates: gains within a tier do not increase, and every tier is above the next."""
    candidates = _as_arrays(pool)
    dim = candidates.features.shape[2]
    if labelled.features.shape[1] != dim:  # of another network
        labelled = labelled._replace(features=np.zeros((0, dim), dtype=np.int8))
    later = ranking.own_gains_of(_LATER)
    # no gain is above the one that an image has by itself
    lifts = {_EARLIER: 1.0 + float(later.max()) if len(later) else 0.0, _LATER: 0.0}
    scores, least_gains = np.array(ranking.own_gains), dict.fromkeys(lifts, np.inf)
    for pick in greedy_picks(candidates, labelled, np.array([one.tier == _LATER for one in pool])):
        if task.run.stop.requested():
            raise StoppedError("stopped on request while candidates were ordered")
        chosen, nearest = pool[pick.candidate], pick.parts.nearest
        scores[chosen.number] = pick.gain + lifts[chosen.tier]
        if pick.gain > 0:  # else a copy, which comes behind everything that is not known to be one
            least_gains[chosen.tier] = pick.gain
        parts = pick.parts._replace(nearest=None if nearest is None else pool[nearest].number)
        on_pick(chosen.number, float(scores[chosen.number]), parts)
    is_behind = np.ones(len(scores), dtype=bool)
    is_behind[[candidate.number for candidate in pool]] = False
    for tier, lift in lifts.items():
        behind = is_behind & ranking.is_in(tier)
        largest = scores[behind].max(initial=0.0)
        if np.isfinite(least_gains[tier]) and largest > 0:  # they go on where the pool has ended
            scores[behind] = scores[behind] / largest * np.nextafter(least_gains[tier], 0.0)
        scores[behind] += lift
    return array("d", scores)
