"""Explain a ranking: the algorithm runs once more on the images that come first, and says what decided.

Where a score depends on the images chosen before, its parts are known from the ranking, and this finds the boxes.
"""

from __future__ import annotations

import itertools
from typing import Iterator, Mapping, Sequence

import numpy as np

from ..config.prediction_settings import MiningSettings
from ..contract.index_file import IndexEntry
from ..contract.mining_result import read_mining_result
from ..detections import Detector
from ..errors import printable
from ..inference.predict import ImagePrediction, PredictionHooks
from ..mining.algorithms import UNREADABLE_SCORE, Algorithm, build_algorithm
from ..mining.explanation import WHOLE_IMAGE, ExplainedBox
from ..results.mining_explanations import (
    FILE_NAME,
    MOST_BOXES,
    MOST_SHOWN,
    BoxReason,
    GainParts,
    ImageReason,
    MiningExplanations,
    write_explanations,
)
from ..results.mining_parts import FILE_NAME as PARTS_FILE_NAME
from .extras import extra
from .prediction_task import PredictionTask
from .score_parts import PoolParts

MOST_IMAGES, LEAST_IMAGES, SHARE = 24, 8, 10
"""Images with boxes that are explained: one of SHARE candidates, so that a long task takes at most a tenth longer.
Those without a box, which CALD lists first, cost little and are not counted."""
_DIGITS = 6
"""Of scores, as in result.tsv."""


def add_explanations(task: PredictionTask, parts: PoolParts | None = None) -> None:
    """Write mining-explanations.json, and mining-parts.tsv where there are parts, next to result.tsv.

    Whatever goes wrong is one warning: it must not cost a result.

    Args:
        task: whose result.tsv is written, by an algorithm that needs the images.
        parts: of the scores, where they depend on the images chosen before; None: they do not.
    """
    with extra("why the first images were chosen is left out"):
        if parts is not None:
            parts.write(task)
        listed = itertools.islice(read_mining_result(task.run.task.mining_result), MOST_SHOWN)
        scores = {asset: score for asset, score in listed if score != UNREADABLE_SCORE}
        reasons = list(explain(task, list(scores), count_explained(task)))
        if parts is not None:
            reasons = _with_parts(reasons, scores, parts.of_first(task.index))
        settings: MiningSettings = task.run.settings
        explanations = MiningExplanations(algorithm=settings.mining_algorithm, images=reasons)
        write_explanations(task.run.task.output_dir / FILE_NAME, explanations)


def remove_explanations(task: PredictionTask) -> None:
    """Remove what an earlier task has left in the same folder: it does not explain the result to come."""
    with extra("why the first images of an earlier task were chosen stays in its files"):
        for name in (FILE_NAME, PARTS_FILE_NAME):
            (task.run.task.output_dir / name).unlink(missing_ok=True)


def _with_parts(
    reasons: Sequence[ImageReason], scores: Mapping[str, float], parts: Mapping[str, GainParts]
) -> list[ImageReason]:
    """Return the reasons of all listed images: with their parts, also those that were not predicted again.

    Args:
        reasons: of the images that were.
        scores: of result.tsv by asset, in its order.
        parts: by asset.
    """
    by_asset = {reason.asset: reason for reason in reasons}
    return [
        by_asset.get(printable(asset), ImageReason(asset=printable(asset), score=score)).model_copy(
            # the score of an image by itself says nothing of its place
            update={"score": round(score, _DIGITS), "parts": parts.get(asset)}
        )
        for asset, score in scores.items()
    ]


def count_explained(task: PredictionTask) -> int:
    """Return how many images with boxes are explained at most."""
    return min(MOST_IMAGES, max(LEAST_IMAGES, len(task.index) // SHARE))


def explain(task: PredictionTask, assets: Sequence[str], count: int) -> Iterator[ImageReason]:
    """Yield why candidates have their scores, until `count` of them had boxes or anything else that decided.

    Those that cannot be read any more are left out.
    """
    detector, algorithm = task.detector(), build_task_algorithm(task)
    if algorithm.score_threshold_to_explain is not None:
        detector.score_threshold = min(task.result_threshold, algorithm.score_threshold_to_explain)
    entries = [IndexEntry(asset, task.run.task.paths.resolve(asset), None) for asset in assets]
    hooks = PredictionHooks(algorithm.extract_to_explain or algorithm.extract, algorithm.explain_tiles)
    for entry, image in zip(entries, task.predict_images(entries, hooks, task.tiling)):
        if image.detections is None:
            continue
        reason = _image_reason(task, detector, algorithm, entry.asset, image)
        yield reason
        count -= bool(reason.facts)
        if count <= 0:
            return


def build_task_algorithm(task: PredictionTask) -> Algorithm:
    """Build the algorithm of a mining task with its detector, which from then on predicts all boxes that it needs."""
    settings: MiningSettings = task.run.settings
    detector = task.detector()
    algorithm = build_algorithm(
        settings.mining_algorithm,
        detect=detector.detect,
        seed=settings.seed,
        class_names=detector.class_names,
        class_distribution_scores=settings.class_distribution_scores,
        has_dense_outputs=detector.has_dense_outputs,
    )
    if algorithm.score_threshold is not None:
        detector.score_threshold = min(task.result_threshold, algorithm.score_threshold)
    return algorithm


def _image_reason(
    task: PredictionTask, detector: Detector, algorithm: Algorithm, asset: str, image: ImagePrediction
) -> ImageReason:
    assert image.detections is not None
    assert image.image_hw is not None
    scores, evidence = zip(*image.tile_scores)
    explanation = algorithm.explain_image(image.detections, evidence)
    windows = task.tiling.windows(image.image_hw)
    boxes = []
    for box in explanation.boxes[:MOST_BOXES]:
        edges = np.asarray(box.box_xyxy, dtype=np.float64)
        if box.tile != WHOLE_IMAGE:
            window = windows[box.tile]
            height, width = detector.network_hw((window.height, window.width))
            edges = edges * ([window.width / width, window.height / height] * 2) + [window.x, window.y] * 2
        boxes.append(_box_reason(box, edges, image.image_hw, detector.class_names))
    return ImageReason(
        asset=printable(asset),
        score=round(float(algorithm.score_image(asset, image.detections, scores)), _DIGITS),
        facts=[(printable(name), round(value, _DIGITS)) for name, value in explanation.facts],
        boxes=boxes,
    )


def _box_reason(
    box: ExplainedBox, edges: np.ndarray, image_hw: tuple[int, int], class_names: Sequence[str]
) -> BoxReason:
    height, width = image_hw
    x1, y1, x2, y2 = np.clip(edges, 0.0, [width, height, width, height]).tolist()
    return BoxReason(
        xyxy=(round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)),
        class_name=class_names[box.class_id],
        score=round(box.score, _DIGITS),
        value=round(box.value, _DIGITS),
        augmentation=box.augmentation,
        class_probs=[(class_names[class_id], round(prob, _DIGITS)) for class_id, prob in box.class_probs],
    )
