"""A task as its function gets it, for tests of inference and mining that need no process of their own."""

from __future__ import annotations

from typing import Any, Sequence

from PIL import Image

from tests.conftest import Tree
from tests.rectangle_detector import RED, RectangleDetector, draw
from ymir_detectron2.config.prediction_settings import InferSettings, MiningSettings
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.tasks.prediction_task import PredictionTask
from ymir_detectron2.tasks.script import TaskRun


class RectangleTask(PredictionTask):
    """A real task with the small detector of the tests in place of an engine's."""

    def __init__(self, run: TaskRun[Any]) -> None:
        super().__init__(run)
        self.rectangle_detector = RectangleDetector()

    def detector(self) -> RectangleDetector:
        return self.rectangle_detector


def draw_candidates(tree: Tree, count: int, unreadable: Sequence[int] = ()) -> None:
    """Replace the candidates of a task: number n has a red rectangle at x = n % 20, and every fifth none."""
    folder = tree.in_dir / "assets" / "drawn"
    folder.mkdir(parents=True)
    for number in range(count):
        rectangles = [] if number % 5 == 4 else [(number % 20, 5, number % 20 + 15, 25, RED, 100 + number)]
        Image.fromarray(draw(*rectangles, height=32, width=40)[:, :, ::-1]).save(folder / f"{number:03}.png")
    for number in unreadable:
        (folder / f"{number:03}.png").write_text("not an image")
    tree.write_index("candidate", [f"/in/assets/drawn/{number:03}.png" for number in range(count)])


def give_model(tree: Tree, weights: bytes = b"weights") -> None:
    """Files that name a model, for tests that never load it."""
    folder = tree.in_dir / "models"
    folder.mkdir(exist_ok=True)
    (folder / "best.pth").write_bytes(weights)
    (folder / "config.yaml").write_text("VERSION: 2\n")
    tree.edit("config.yaml", model_params_path=["/in/models/best.pth", "/in/models/config.yaml"])


def task_run(tree: Tree, *, rank: int = 0, world_size: int = 1) -> TaskRun[Any]:
    """The run of one process, as `run_script` builds it."""
    task = load_task(tree.env_file)
    settings = read_settings(MiningSettings if task.run_mining else InferSettings, task.config)
    return TaskRun(
        task, settings, "torch", Monitor(task.monitor, task.task_id), StopSignal(),
        is_main=rank == 0, is_local_main=rank == 0, rank=rank, world_size=world_size,
    )  # fmt: skip
