"""Whole tasks, as the platform starts them: a task folder, `start.py`, and the memory of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from benchmarks.measuring import PROJECT_DIR, resident_peak_mib
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
