"""One short training of an experiment as a whole task: its folder is written, run by start.py, read, and removed."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

from benchmarks.experiment import run_task
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.packed_model import pack_best_stage
from ymir_detectron2.tools.task_folder import write_task_folder


class TrainingOutcome(NamedTuple):
    """What a training has reached."""

    ap50: float
    """Of the best stage, in [0, 1]; 0 where it failed."""
    by_class: Mapping[str, float]
    """AP50 of each class at the last evaluation; {} where the training failed."""
    failure: str
    """The last error line of its log; '' if it succeeded."""
    seconds: float
    """Wall time of the whole task, its start and evaluation included."""


def draw_subset(images: Sequence[AnnotatedImage], count: int, *, labelled_only: bool = False) -> list[AnnotatedImage]:
    """Return at most `count` images, the same at every call; all of them where `count` is 0.

    Args:
        labelled_only: leave out images without boxes first.
    """
    usable = [image for image in images if image.boxes or not labelled_only]
    if not count or count >= len(usable):
        return usable
    # by a fixed seed, not the first ones: sets are often sorted by kind
    return random.Random(0).sample(usable, count)


def train_once(
    root: Path, train: Sequence[AnnotatedImage], val: Sequence[AnnotatedImage], form: Mapping[str, Any]
) -> TrainingOutcome:
    """Train on the CPU with the keys of `form`; the classes are those of both sets, in order of their names.

    Args:
        root: the task folder; one left by an interrupted run is removed first.
    """
    started_s = time.perf_counter()
    if root.exists():
        shutil.rmtree(str(root))
    names = sorted({box[0] for image in (*train, *val) for box in image.boxes})
    env_file = write_task_folder(root, task="train", class_names=names, train=train, val=val, config=form)
    log = root / "log.txt"
    failure = ""
    if run_task(env_file, log):
        text = log.read_text(encoding="utf-8", errors="replace")
        failure = next((line for line in reversed(text.splitlines()) if line.startswith("ERROR ")), "no reason")
    by_class = {} if failure else _ap50_by_class(root / "out" / "tensorboard")
    ap50 = 0.0 if failure else pack_best_stage(root / "out" / "models").m_ap
    shutil.rmtree(str(root))  # dozens of trainings with their stages would fill a disk
    rounded = {name: round(value, 4) for name, value in by_class.items()}
    return TrainingOutcome(round(ap50, 4), rounded, failure, round(time.perf_counter() - started_s, 1))


def _ap50_by_class(folder: Path) -> dict[str, float]:
    """Read AP50 by class of the last evaluation from TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(next(folder.iterdir()))).Reload()
    tags = [tag for tag in accumulator.Tags()["scalars"] if tag.startswith("validation_AP50/")]
    return {tag.partition("/")[2]: accumulator.Scalars(tag)[-1].value for tag in tags}
