"""Mining: candidates in, result.tsv out, the images most worth labelling first."""

from __future__ import annotations

import heapq
import logging
from array import array
from typing import Iterator

import numpy as np

from ..config.mining_algorithms import MINING_ALGORITHMS
from ..config.prediction_settings import MiningSettings
from ..contract.data_issues import UNREADABLE
from ..contract.index_file import IndexEntry
from ..contract.mining_result import write_mining_result
from ..detections import Detections
from ..inference.predict import ImagePrediction, PredictionHooks
from ..inference.tiling import Tiling
from ..mining.algorithms import UNREADABLE_SCORE, build_algorithm
from ..mining.diversity import extract_embedding, near_duplicate_mask
from .closing import log_mining, log_page
from .explain import add_explanations, build_task_algorithm, count_explained
from .prediction_progress import PredictionProgress
from .prediction_task import PredictionTask
from .report_page import add_task_page
from .resumable_prediction import MakeRow, ResumablePrediction, Row
from .script import TaskRun

logger = logging.getLogger(__name__)


def mine(run: TaskRun[MiningSettings]) -> None:
    """Score every candidate; result.tsv appears when all have a score."""
    task = PredictionTask(run)
    needs_images = MINING_ALGORITHMS[run.settings.mining_algorithm].needs_images
    if needs_images:
        prediction = ResumablePrediction(task, "mining", "mined", _count_predicted_again(task))
        prediction.run(lambda: _start_scoring(task))
        values: Iterator[float] = (row.get("score", UNREADABLE_SCORE) for _, _, row in prediction.rows())
        figures = prediction.figures
    else:
        values, figures = _scores_by_name(task), {"images": len(task.index)}
    if not run.is_main:
        return
    scores = array("d", values)  # eight bytes per candidate: there may be a million
    if run.settings.diversity_distance:
        move_near_duplicates(task, scores, passed=len(task.index) * needs_images)
    # entries are read from the index again: names of a million candidates are never in memory together
    listed = (
        (entry.asset, scores[number])
        for number, entry in enumerate(task.index.entries(0, len(scores)))
        if task.lists(number, entry)
    )
    write_mining_result(run.task.mining_result, listed)
    task.write_summary("mining-summary.json", figures)
    if needs_images:
        add_explanations(task)
    page = None if run.task.run_infer else add_task_page(run.task)  # the last step writes the page, of both
    readable = array("d", (score for score in scores if score != UNREADABLE_SCORE))
    log_mining(run.task.mining_result, readable, unreadable=len(scores) - len(readable))
    log_page(page)


def _start_scoring(task: PredictionTask) -> tuple[PredictionHooks, MakeRow]:
    """Build the algorithm, which needs the detector, and return what it computes of each tile and image."""
    detector, algorithm = task.detector(), build_task_algorithm(task)

    def make_row(entry: IndexEntry, image: ImagePrediction) -> Row:
        assert image.detections is not None  # rows are made only of images that could be read
        row: Row = {"score": algorithm.score_image(entry.asset, image.detections, image.tile_scores)}
        if task.run.task.run_infer:  # the inference step then only writes what mining has predicted
            row["boxes"] = image.result_boxes(detector.class_names)
        return row

    return PredictionHooks(algorithm.extract, algorithm.score_tiles), make_row


def _scores_by_name(task: PredictionTask) -> Iterator[float]:
    """Score without opening an image or loading a model."""
    algorithm = build_algorithm(task.run.settings.mining_algorithm, seed=task.settings.seed)
    for entry in task.index.entries(0, len(task.index)):
        yield algorithm.score_image(entry.asset, Detections.empty(), ())


def _count_predicted_again(task: PredictionTask) -> int:
    """Return about how many images go through the network again: to be compared, and to be explained."""
    settings: MiningSettings = task.run.settings
    compared = min(settings.diversity_pool, len(task.index)) if settings.diversity_distance else 0
    return compared + count_explained(task)


def move_near_duplicates(task: PredictionTask, scores: array[float], passed: int = 0) -> None:
    """Give those of the best candidates that are near-duplicates of a better one the score of the last of them.

    Args:
        passed: images that have been predicted before.
    """
    settings: MiningSettings = task.run.settings
    readable = (number for number, score in enumerate(scores) if score != UNREADABLE_SCORE)
    pool = heapq.nlargest(settings.diversity_pool, readable, key=scores.__getitem__)
    entries = (next(task.index.entries(number, number + 1)) for number in pool)
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
