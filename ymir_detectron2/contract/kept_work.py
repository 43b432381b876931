"""What a task that did not reach its end has kept in /out, for the sentence with which it ends."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from ..untrusted_files import open_regular
from .partial_results import PARTIAL_RESULTS_DIR, has_finished_block

TRAINING_DIR = f"{PARTIAL_RESULTS_DIR}/training"
"""Below the output folder: the checkpoints of an unfinished training, and the record of its stages."""
STAGES_RECORD = "stages.json"
CHECKPOINT_NAME = "step_{:07d}.pth"
_CHECKPOINT = re.compile(r"step_(\d{7,})\.pth")
_KINDS = ("mining", "infer", "mining+infer")
"""Of the folders with finished images."""


def describe_kept(output_dir: Path | None, *, is_training: bool, machine_rank: int = 0) -> str:
    """Return what is kept of an unfinished step, and what to do to go on.

    Args:
        output_dir: /out; None: unknown.
        is_training: whether it trains; else it mines or infers.
        machine_rank: machine 0 keeps the work of a training for all.
    """
    if output_dir is None:
        return "start the task again"
    if is_training and machine_rank:
        return "machine 0 says what is kept; start the task again on every machine"
    with contextlib.suppress(OSError):  # of a broken disk, which must not take the place of what is to be said
        return _describe_training(output_dir) if is_training else _describe_images(output_dir)
    return "start the task again on the same output folder"


def _describe_training(output_dir: Path) -> str:
    folder = output_dir / TRAINING_DIR
    stages = _count_stages(folder / STAGES_RECORD)
    kept = [f"{stages} stage{'s' * (stages > 1)}"] * bool(stages)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    steps = [int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name))]
    if steps:
        kept.append(f"the checkpoint of step {max(steps)}")
    if not kept:
        return "nothing is kept of it yet; start the task again"
    are = "are" if stages > 1 or len(kept) > 1 else "is"
    again = "to go on after that step" if steps else "to begin again at step 1"
    return f"{' and '.join(kept)} {are} kept; start the task again on the same output folder {again}"


def _count_stages(record: Path) -> int:
    """Return how many stages are on record; each was listed in result.yaml before."""
    try:
        with open_regular(record) as file:
            return len(json.loads(file.read())["stages"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # there is none yet, or it is damaged
        return 0


def _describe_images(output_dir: Path) -> str:
    folder = output_dir / PARTIAL_RESULTS_DIR
    folders = [path for path in folder.iterdir() if path.name.rpartition("-")[0] in _KINDS] if folder.is_dir() else []
    if any(map(has_finished_block, folders)):
        return "finished images are kept; start the task again on the same output folder to go on with the rest"
    return "no image is kept of it yet; start the task again"
