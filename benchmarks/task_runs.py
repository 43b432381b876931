"""Whole tasks, as the platform starts them: a task folder, `start.py`, and the memory of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.measuring import PROJECT_DIR, resident_peak_mib
from ymir_detectron2.config.prediction_settings import MiningSettings
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.contract.partial_results import PARTIAL_RESULTS_DIR, PartialResults
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.inference.predict import BLOCK
from ymir_detectron2.mining.evidence import peaks_to_row
from ymir_detectron2.mining.peaks import MAX_DIM, MOST_PEAKS, ImagePeaks, as_directions
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.tasks.prediction_task import PredictionTask
from ymir_detectron2.tasks.resumable_prediction import fingerprint
from ymir_detectron2.tasks.script import TaskRun
from ymir_detectron2.tools.task_folder import write_task_folder

_POLL_S = 0.05  # VmHWM is a high-water mark: polling can only miss the end of a process


def prepare_task(root: Path, task: str, model: Path, config: Mapping[str, Any]) -> Path:
    """Write a task folder without candidates; return its env.yaml.

    Args:
        task: a key of `task_folder.TASKS`.
        model: the folder of `synthetic_data.write_model`.
        config: for config.yaml.
    """
    files = [model / "model.pth", model / "config.yaml"]
    return write_task_folder(root, task=task, class_names=["class_0", "class_1", "class_2"], model=files, config=config)


def list_candidates(root: Path, images: Sequence[Path], count: int) -> None:
    """Write an index of `count` candidates, hard links to some images.

    Args:
        images: if empty, the candidates are names of files that do not exist.
    """
    with (root / "in" / "candidate-index.tsv").open("w", encoding="utf-8") as index:
        for number in range(count):
            name = f"{number % 256:02x}/{number:08d}.jpg"  # 256 folders: one with a million entries is slow
            index.write(f"/in/assets/{name}\n")
            if images:
                path = root / "in" / "assets" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(images[number % len(images)], path)


def write_evidence(env_file: Path) -> None:
    """Write rows of `submodular` for all candidates, with three classes, as an interrupted start leaves them."""
    platform_task = load_task(env_file)
    settings = read_settings(MiningSettings, platform_task.config)
    monitor = Monitor(platform_task.monitor, platform_task.task_id)
    run = TaskRun(
        platform_task, settings, settings.engine, monitor, StopSignal(), is_main=True, is_local_main=True
    )
    task = PredictionTask(run)
    folder = run.task.output_dir / PARTIAL_RESULTS_DIR / f"mining-{fingerprint(task, 'mining')[:16]}"
    results, rng = PartialResults(folder), np.random.default_rng(0)
    for first in range(0, len(task.index), BLOCK):
        count = min(BLOCK, len(task.index) - first)
        probs = -np.sort(-(rng.random((count, MOST_PEAKS)) ** 4)).astype(np.float16)
        class_ids = rng.integers(3, size=probs.shape).astype(np.uint16)
        features = as_directions(rng.normal(size=(probs.size, MAX_DIM))).reshape(*probs.shape, MAX_DIM)
        peaks = map(ImagePeaks, probs, class_ids, features)
        results.add(first // BLOCK, [{"score": float(one.probs[0]), **peaks_to_row(one)} for one in peaks])


def run_task(env_file: Path) -> float:
    """Run `start.py` to its end; return the largest resident memory of its processes, in MiB.

    Raises:
        RuntimeError: the task failed; the message holds the end of its log.
    """
    log = env_file.parent.parent / "log.txt"
    peaks_mib = {0: 0.0}
    with log.open("wb") as file:
        command = [sys.executable, str(PROJECT_DIR / "start.py"), "--env", str(env_file)]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        while process.poll() is None:
            for pid in _descendants(process.pid):
                peaks_mib[pid] = max(peaks_mib.get(pid, 0.0), resident_peak_mib(str(pid)))
            time.sleep(_POLL_S)
    if process.returncode:
        raise RuntimeError(f"start.py failed:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")
    return max(peaks_mib.values())


def _descendants(pid: int) -> Iterator[int]:
    """Yield the ids of its children, their children, and so on."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)
