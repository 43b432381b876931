"""The tasks that faults are tried on: tiny ones, made by the project's own tools, each with a run without faults."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.platform_reader import verifier_checks
from ymir_detectron2.tools.draw_dataset import CLASS_NAMES, draw_images
from ymir_detectron2.tools.task_folder import write_task_folder

from .disk_shim import DiskShim
from .results import read_results
from .running import PROJECT_DIR, Start

TASKS = ("train", "mining", "infer", "mining+infer")
PROCESSES = (1, 2)
_SIDES = (64, 80)
_TIMEOUT_S = 300
_TRAINING = {
    "engine": "torch", "config_file": str(PROJECT_DIR / "tests" / "data" / "tiny.yaml"), "max_iter": 8,
    "eval_period": 4, "learning_rate": 0.02, "batch_size": 2, "num_workers": 1,
}  # fmt: skip
_PREDICTION = {"engine": "torch", "conf_threshold": 0.005, "mining_algorithm": "entropy"}
_CANDIDATES = 70  # three blocks of 32


@dataclass(frozen=True)
class Reference:
    """A task and how it went without faults."""

    task: str
    processes: int
    folder: Path
    """Holds in/, to be copied, and out/ with what is expected."""
    wall_s: float
    operations: dict[str, int]
    """Per kind of `disk_shim.KINDS`: how many there were below /out."""

    def copy_to(self, root: Path) -> None:
        """Copy the task folder; its /out is empty."""
        shutil.copytree(self.folder / "in", root / "in", symlinks=True)
        (root / "out").mkdir()

    def results(self) -> dict[str, bytes]:
        return read_results(self.folder / "out")


def prepare(work: Path, task: str, processes: int, shim: DiskShim | None) -> Reference:
    """Return a task with its run without faults, from `work` if an earlier call has left it there.

    Raises:
        RuntimeError: it fails without faults.
    """
    folder = work / f"{task}-{processes}"
    record = folder / "reference.json"
    if not record.exists():
        shutil.rmtree(folder, ignore_errors=True)
        model = None if task == "train" else prepare(work, "train", 1, shim).folder / "out" / "models"
        _write_folder(work, folder, task, processes, model)
        reference = _run(folder, task, processes, shim)
        record.write_text(json.dumps({**asdict(reference), "folder": ""}), encoding="utf-8")
    return Reference(**{**json.loads(record.read_text(encoding="utf-8")), "folder": folder})


def _write_folder(work: Path, folder: Path, task: str, processes: int, model: Path | None) -> None:
    flags = f"--num-gpus {processes} " if processes > 1 else ""
    if task == "train":
        sets: dict[str, Any] = {
            name: draw_images(work / "images" / name, count, seed=seed, image_sides=_SIDES)
            for name, count, seed in (("train", 6, 1), ("val", 4, 2))
        }
        config = {**_TRAINING, "args_options": flags + "SOLVER.CHECKPOINT_PERIOD 2"}
    else:
        drawn = draw_images(work / "images" / "candidates", _CANDIDATES, seed=3, image_sides=_SIDES)
        sets = {"candidates": [image.path for image in drawn], "model": model}
        config = {**_PREDICTION, "args_options": flags}
    write_task_folder(folder, task=task, class_names=CLASS_NAMES, config=config, **sets)


def _run(folder: Path, task: str, processes: int, shim: DiskShim | None) -> Reference:
    watch = None if shim is None else shim.watch(folder / "out", folder / "disk")
    start = Start(folder, "reference", watch.options if watch else None)
    if not start.wait(_TIMEOUT_S) or start.process.returncode != 0:
        raise RuntimeError(f"{task} fails without faults, see {start.log}: {start.ending}")
    index = folder / "in" / "candidate-index.tsv"
    verifier_checks(folder / "out", task, index.read_text(encoding="utf-8").split() if index.exists() else [])
    return Reference(task, processes, folder, start.seconds, watch.operations() if watch else {})
