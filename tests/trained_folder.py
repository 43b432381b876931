"""A task folder as a training leaves it, written by the code of a training; the evaluation is drawn by a seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
from PIL import Image

from tests.evaluated_sets import IMAGE_HW, random_evaluation
from ymir_detectron2.contract.task import Task, load_task
from ymir_detectron2.contract.training_result import TrainingResult
from ymir_detectron2.dataset.report_file import write_report
from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.metrics import Evaluation
from ymir_detectron2.evaluation.training_history import NAME as HISTORY_NAME
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tasks.stages import add_stage
from ymir_detectron2.tools.task_folder import write_task_folder
from ymir_detectron2.training.job import StageWeights

STEPS = 120
STAGE = f"iter_{STEPS:07d}"


@dataclass(frozen=True)
class TrainedFolder:
    """A task folder and what was evaluated."""

    root: Path
    task: Task
    evaluation: Evaluation

    @property
    def out_dir(self) -> Path:
        return self.root / "out"


def write_trained_folder(
    root: Path, class_names: Sequence[str] = ("cat", "dog", "owl"), num_images: int = 30, name: str = "image {}.png",
    **drawn: int,
) -> TrainedFolder:  # fmt: skip
    """Write in/ with images of one colour each, and out/ of a training with one stage.

    Args:
        name: of an image, with a place for its number.
        drawn: see `random_evaluation`.
    """
    images = _write_images(root / "own", name, num_images)
    env_file = write_task_folder(
        root / "run", task="train", class_names=class_names, train=images[:1], val=images, own_names=True,
        config={"max_iter": STEPS, "learning_rate": 0.01},
    )  # fmt: skip
    task = load_task(env_file)
    assets = str(task.paths.in_dir / "assets" / name)
    evaluation = random_evaluation(root, class_names, num_images, image=assets, **drawn)
    _write_output(task, evaluation)
    return TrainedFolder(root / "run", task, evaluation)


def _write_images(folder: Path, name: str, count: int) -> list[AnnotatedImage]:
    folder.mkdir(parents=True)
    paths = [folder / name.format(number) for number in range(count)]
    for number, path in enumerate(paths):
        colour = np.random.default_rng(number).integers(0, 255, 3).tolist()
        Image.new("RGB", IMAGE_HW[::-1], tuple(colour)).save(path)
    return [AnnotatedImage(path, [(0, 5, 5, 30, 30)]) for path in paths]


def _write_output(task: Task, evaluation: Evaluation) -> None:
    task.models_dir.mkdir(parents=True)
    (task.models_dir / f"{STAGE}.pth").write_bytes(b"weights")
    steps = list(range(1, STEPS + 1))
    names = ("loss_cls", "loss_box_reg")
    losses = {name: LossCurve(steps, [len(name) / step for step in steps]) for name in names}
    validation = {name: LossCurve([60, STEPS], [0.5, 0.4]) for name in names}
    ap, ap50 = evaluation.metrics.ap, evaluation.metrics.ap50
    metrics = {"AP50": LossCurve([60, STEPS], [0.3, ap50]), "AP": LossCurve([60, STEPS], [0.1, ap])}
    stage = StageWeights(STAGE, (f"{STAGE}.pth",), evaluation, ap50, losses, validation, metrics, STEPS)
    result = TrainingResult(task.models_dir, task.training_result, writes_stages=True)
    add_stage(result, stage, task.output_dir / HISTORY_NAME, lambda path: task.paths.container_path(Path(path)))
    counts = dict(zip(evaluation.class_names, evaluation.matches.gt_counts.tolist()))
    report = {
        "images": len(evaluation.images), "images_without_boxes": 0, "boxes": sum(counts.values()),
        "boxes_per_class": counts, "boxes_by_size": {"small": 1, "medium": 2, "large": 0},
        "image_width": {"min": 120, "median": 120, "max": 120}, "image_height": {"min": 90, "median": 90, "max": 90},
        "findings": {"image without its end, used": {"count": 2, "first": ["a.jpg", "b.jpg"]}},
    }  # fmt: skip
    write_report(task, {"training": report, "validation": report}, ["class 'owl' has 3 boxes in the training set"])
    summary = {"steps": STEPS, "seconds_per_step": 0.25, "device": "CPU", "best_stage": STAGE, "ap50": ap50}
    (task.output_dir / "train-summary.json").write_text(json.dumps(summary))
