"""training-statistics.json beside the weights of the best stage: what mining wants to know of the labelled images.

An extra: whatever goes wrong is one warning, and mining does without.
"""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from ..contract.model_package import STATISTICS_NAME
from ..contract.training_result import TrainingResult
from ..dataset.coco_json import CocoDataset, load_coco_json
from ..evaluation.evaluation_file import EvaluationFile
from ..evaluation.training_statistics import MOST_FEATURES, TrainingStatistics, summarise_training
from ..mining.peaks import NAME, ImagePeaks, labelled_features
from ..training.job import TrainJob
from .extras import extra


def add_statistics(
    job: TrainJob, result: TrainingResult, evaluation: EvaluationFile | None, peaks: Sequence[Sequence[ImagePeaks]]
) -> None:
    """Write training-statistics.json, and list it among the files of the best stage.

    Args:
        evaluation: of the best stage; None: it could not be kept.
        peaks: of the tiles of training images, evenly spaced in their set; (): not computed.
    """
    with extra(f"{STATISTICS_NAME} is left out, and mining does without it"):
        statistics = _summarise(job, evaluation, peaks)
        result.add_own_file(result.best().name, STATISTICS_NAME, statistics.as_bytes())


def _summarise(
    job: TrainJob, evaluation: EvaluationFile | None, peaks: Sequence[Sequence[ImagePeaks]]
) -> TrainingStatistics:
    dataset = load_coco_json(job.train_json)
    ap50 = {} if evaluation is None else {each.name: each.ap50 for each in evaluation.classes if each.ap50 is not None}
    return summarise_training(
        job.class_names,
        boxes_per_class=np.bincount(dataset.classes, minlength=len(job.class_names)).tolist(),
        images_per_class=_images_per_class(dataset),
        ap50_per_class=[ap50.get(name, math.nan) for name in job.class_names],
        images=len(dataset), images_without_objects=int((np.diff(dataset.box_starts) == 0).sum()),
        features=labelled_features(peaks, MOST_FEATURES), feature_name=NAME,
    )  # fmt: skip


def _images_per_class(dataset: CocoDataset) -> list[int]:
    images = np.repeat(np.arange(len(dataset)), np.diff(dataset.box_starts))  # (M,) of each box
    pairs = np.unique(np.stack([images, dataset.classes]), axis=1)  # (2, different pairs)
    counts: list[int] = np.bincount(pairs[1], minlength=len(dataset.class_names)).tolist()
    return counts
