"""Mining: candidates in, result.tsv out, the images most worth labelling first."""

from __future__ import annotations

import heapq
import logging
from array import array
from typing import Any, Mapping, NamedTuple

import numpy as np

from ..config.mining_algorithms import MINING_ALGORITHMS
from ..config.prediction_settings import MiningSettings
from ..contract.data_issues import UNREADABLE
from ..contract.index_file import IndexEntry
from ..contract.mining_result import write_mining_result
from ..detections import Detections
from ..inference.predict import ImagePrediction, PredictionHooks
from ..mining.algorithms import UNREADABLE_SCORE, build_algorithm
from ..mining.diversity import extract_embedding, near_duplicate_mask
from ..mining.evidence import is_evidence
from ..tile_windows import Tiling
from .closing import log_first_rows, log_mining, log_page
from .explain import add_explanations, build_task_algorithm, count_explained, remove_explanations
from .extras import extra
from .prediction_progress import PredictionProgress
from .prediction_task import PredictionTask
from .report_page import add_task_page
from .resumable_prediction import MakeRow, ResumablePrediction, Row
from .score_parts import PoolParts
from .script import TaskRun
from .set_order import order_together

logger = logging.getLogger(__name__)


class _Scored(NamedTuple):
    """All candidates with their scores."""

    scores: array[float]
    """Eight bytes per candidate: there may be a million."""
    figures: Mapping[str, Any]
    """For the summary."""
    parts: PoolParts | None = None
    """Of scores that depend on each other."""


def mine(run: TaskRun[MiningSettings]) -> None:
    """Score every candidate; result.tsv appears when all have a score."""
    task = PredictionTask(run)
    _warn_of_ineffective_keys(run.settings)
    needs_images = MINING_ALGORITHMS[run.settings.mining_algorithm].needs_images
    scored = _score_images(task) if needs_images else _score_names(task)
    if scored is None:
        return
    scores = scored.scores
    if _compares_duplicates(run.settings):
        move_near_duplicates(task, scores, passed=len(task.index) * needs_images)
    # entries are read from the index again: names of a million candidates are never in memory together
    listed = (
        (entry.asset, scores[number])
        for number, entry in enumerate(task.index.entries(0, len(scores)))
        if task.lists(number, entry)
    )
    remove_explanations(task)
    write_mining_result(run.task.mining_result, listed)
    task.write_summary("mining-summary.json", {**scored.figures})
    if needs_images:
        add_explanations(task, scored.parts)
    page = None if run.task.run_infer else add_task_page(run.task)  # the last step writes the page, of both
    readable = array("d", (score for score in scores if score != UNREADABLE_SCORE))
    log_mining(run.task.mining_result, readable, unreadable=len(scores) - len(readable))
    with extra("the first rows of the result are not in the log"):
        log_first_rows(run.task.mining_result)
    log_page(page)


def _warn_of_ineffective_keys(settings: MiningSettings) -> None:
    name = settings.mining_algorithm
    if MINING_ALGORITHMS[name].orders_together and settings.diversity_distance:
        logger.warning("config.yaml: diversity_distance has no effect with %s, which avoids near-duplicates itself",
                       name)  # fmt: skip
    if not MINING_ALGORITHMS[name].orders_together and settings.empty_images != "by_score":
        logger.warning("config.yaml: empty_images has no effect with %s; only submodular uses it", name)


def _score_images(task: PredictionTask) -> _Scored | None:
    """Predict the images, together with the other processes; None in all but the main one."""
    algorithm = MINING_ALGORITHMS[task.run.settings.mining_algorithm]
    prediction = ResumablePrediction(
        task, "mining", "mined", _count_predicted_again(task),
        is_scored=is_evidence if algorithm.orders_together else lambda row: True,
    )  # fmt: skip
    prediction.run(lambda: _start_scoring(task))
    if not task.run.is_main:
        return None
    if algorithm.orders_together:
        parts = PoolParts(task.detector().class_names)
        return _Scored(order_together(task, prediction, parts.add), prediction.figures, parts)
    scores = array("d", (row.get("score", UNREADABLE_SCORE) for _, _, row in prediction.rows()))
    return _Scored(scores, prediction.figures)


def _start_scoring(task: PredictionTask) -> tuple[PredictionHooks, MakeRow]:
    """Build the algorithm, which needs the detector, and return what it computes of each tile and image."""
    detector, algorithm = task.detector(), build_task_algorithm(task)
    orders_together = MINING_ALGORITHMS[task.run.settings.mining_algorithm].orders_together

    def make_row(entry: IndexEntry, image: ImagePrediction) -> Row:
        assert image.detections is not None  # rows are made only of images that could be read
        row: Row = algorithm.describe_image(entry.asset, image.detections, image.tile_scores)
        result = image if algorithm.score_threshold is None else image.above(task.result_threshold)
        assert result.detections is not None
        if orders_together and len(result.detections) == 0:
            row["is_empty"] = True
        if task.run.task.run_infer:  # the inference step then only writes what mining has predicted
            row["boxes"] = result.result_boxes(detector.class_names)
        return row

    return PredictionHooks(algorithm.extract, algorithm.score_tiles), make_row


def _score_names(task: PredictionTask) -> _Scored | None:
    """Score without opening an image or loading a model; None in all but the main process."""
    if not task.run.is_main:
        return None
    algorithm = build_algorithm(task.run.settings.mining_algorithm, seed=task.settings.seed)
    entries = task.index.entries(0, len(task.index))
    scores = array("d", (algorithm.score_image(entry.asset, Detections.empty(), ()) for entry in entries))
    return _Scored(scores, {"images": len(task.index)})


def _count_predicted_again(task: PredictionTask) -> int:
    """Return about how many images go through the network again: to be compared, and to be explained."""
    settings: MiningSettings = task.run.settings
    compared = min(settings.diversity_pool, len(task.index)) if _compares_duplicates(settings) else 0
    return compared + count_explained(task)


def _compares_duplicates(settings: MiningSettings) -> bool:
    """Return whether near-duplicates are moved: an order that is made together has none close to each other."""
    return settings.diversity_distance > 0 and not MINING_ALGORITHMS[settings.mining_algorithm].orders_together


def move_near_duplicates(task: PredictionTask, scores: array[float], passed: int = 0) -> None:
    """Give those of the best candidates that are near-duplicates of a better one the score of the last of them.

    Args:
        passed: images that have been predicted before.
    """
    settings: MiningSettings = task.run.settings
    readable = (number for number, score in enumerate(scores) if score != UNREADABLE_SCORE)
    pool = heapq.nlargest(settings.diversity_pool, readable, key=scores.__getitem__)
    entries = task.index.entries_of(pool)
    # the image as a whole, without tiles: one embedding and one forward pass for each
    hooks = PredictionHooks(extract_embedding, lambda names, tiles, detections, extracted: extracted)
    embeddings, embedded = [], []
    with PredictionProgress(
        task.run, "compared", len(pool), passed=passed, to_come=count_explained(task) if passed else 0
    ) as progress:
        for count, (number, image) in enumerate(zip(pool, task.predict_images(entries, hooks, Tiling())), start=1):
            if image.error is None:
                embeddings.append(image.tile_scores[0])
                embedded.append(number)
            else:  # an algorithm that needs no images has not met it
                task.issues.add(UNREADABLE, str(image.error))
            progress.update(count)
    if not embedded:
        return
    moved = np.flatnonzero(near_duplicate_mask(np.stack(embeddings), settings.diversity_distance))
    last_score = scores[pool[-1]]
    for position in moved.tolist():
        scores[embedded[position]] = last_score
    logger.info("%d of the best %d candidates resemble a better one and are moved behind them", len(moved), len(pool))
