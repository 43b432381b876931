"""What a training says of the labels: a pass over both sets with the best stage, and /out/label-review.tsv of it.

An extra: whatever goes wrong is one warning, and a stop meanwhile costs the list and nothing else.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

from ..config.train_settings import TrainSettings
from ..contract.training_result import Stage
from ..evaluation.label_review import review_labels
from ..evaluation.label_review_file import FILE_NAME, write_label_review
from ..evaluation.matching import EvaluatedImage
from ..training.job import TrainJob, TrainSummary
from .extras import extra
from .final_pass import FinalPass, run_final_pass
from .script import TaskRun

SKIP = "skip"
"""The value of the key `label_review` that leaves out the pass."""


class LabelReview(NamedTuple):
    """What has come of the review of a training."""

    seen: FinalPass
    scores: Sequence[float] | None
    """Of the lines of label-review.tsv, the highest first; None: it could not be written."""


def review_training(
    run: TaskRun[TrainSettings], job: TrainJob, best: Stage, summary: TrainSummary
) -> LabelReview | None:
    """Look at both sets once more with the weights of a stage, and list the labels that they contradict.

    Args:
        summary: of the training, which says how many images the pass may have.

    Returns:
        None without a pass.
    """
    with contextlib.suppress(OSError):  # of an earlier training in the same folder
        (run.task.output_dir / FILE_NAME).unlink()
    if not summary.final_pass_images or job.settings.label_review == SKIP:
        return None
    seen, scores = None, None
    with extra("the label review, and what mining could know of the training images, is left out"):
        seen = run_final_pass(run, job, best, summary)
    if seen is None:
        return None
    with extra(f"{FILE_NAME} is left out"):
        scores = _write_review(run, job.class_names, seen)
    return LabelReview(seen, scores)


def _write_review(run: TaskRun[TrainSettings], class_names: Sequence[str], seen: FinalPass) -> list[float]:
    suspicions = review_labels(seen.sets, len(class_names))
    namers = {set_name: _namer(run, images) for set_name, images in seen.sets.items()}
    write_label_review(run.task.output_dir / FILE_NAME, suspicions, namers, class_names)
    return [one.score for one in suspicions]


def _namer(run: TaskRun[TrainSettings], images: Sequence[EvaluatedImage]) -> Callable[[int], str]:
    return lambda index: run.task.paths.container_path(Path(images[index].path))
