"""The validation set through a detector, measured: the same for both engines, so that their numbers mean the same."""

from __future__ import annotations

import logging
from pathlib import Path

from ..contract.findings import Findings
from ..dataset.coco_json import CocoDataset
from ..evaluation.metrics import Evaluation, ImageResult, evaluate
from ..inference.stream import look_at
from ..training import processes
from .base import Detector, TrainJob

logger = logging.getLogger(__name__)


def evaluate_detector(detector: Detector, dataset: CocoDataset, job: TrainJob) -> Evaluation:
    """Detect in a share of the validation set per process, and measure all of it together."""
    rank, world_size = processes.rank(), processes.world_size()
    numbers = range(rank, len(dataset), world_size)
    paths = (Path(dataset.image_paths[number]) for number in numbers)
    results = []
    unreadable = Findings()
    image_ids = iter(number + 1 for number in numbers)
    pictures = look_at(
        detector, paths, num_workers=job.settings.num_workers, stop_requested=job.stop_requested
    )
    for picture, image_id in zip(pictures, image_ids):
        found = picture.detections
        if picture.error is not None:
            unreadable.add("unreadable picture, left out of the evaluation", str(picture.error))
        if found is not None:
            results.append(ImageResult(image_id, found.boxes_xyxy, found.scores, found.classes))
    for sentence in unreadable.sentences():
        logger.warning("validation set: %s", sentence)
    everything = [result for part in processes.gather(results) for result in part]
    return evaluate(job.val_json, everything, job.class_names)
