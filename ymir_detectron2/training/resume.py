"""Unfinished training on disk: how a task that is started again on the same output folder goes on.

    step_0000120.pth, step_0000180.pth      the newest two states, each written whole or not at all

A state holds `format`, `fingerprint`, `step`, and what the run and its trainer captured. The newest one that can be
read wins: a torn file costs the steps since the one before it, not the run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any, Mapping

from ..engines.base import EngineConfig, TrainJob
from ..errors import ConfigError, ModelError, StorageError
from ..retinanet.checkpoint import read_content, write_content

logger = logging.getLogger(__name__)

_FORMAT = 1
_KEPT = 2
_FREE_KEYS = frozenset(
    {"DATALOADER.NUM_WORKERS", "OUTPUT_DIR", "SOLVER.CHECKPOINT_PERIOD", "TEST.EVAL_PERIOD", "VIS_PERIOD"}
)
_FREE_SETTINGS = frozenset(
    {"accumulate", "args_options", "batch_size", "config_file", "engine", "eval_period", "export", "export_opset",
     "export_size", "learning_rate", "max_epochs", "max_iter", "num_workers", "patience"}
)  # fmt: skip
"""What may differ between the two starts: it changes no number, or stands in the resolved configuration as well."""


class ResumeFolder:
    """The states of one unfinished training; used in the process of rank 0 alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._warned = False

    def write(self, step: int, content: Mapping[str, Any]) -> None:
        """Keep a state, then drop all but the newest two. What cannot be written is said once and ends nothing."""
        try:
            write_content(self._path(step), {"format": _FORMAT, "step": step, **content})
        except StorageError as error:
            if not self._warned:
                logger.warning("the state of step %d cannot be kept for a resumption: %s", step, error)
            self._warned = True
            return
        for old in self._states()[_KEPT:]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The newest readable state, or None; unreadable ones are named."""
        for path in self._states():
            try:
                content = read_content(path)
            except ModelError as error:
                logger.warning("an unfinished training cannot go on from %s", error)
                continue
            if isinstance(content, dict) and content.get("format") == _FORMAT:
                return content
            logger.warning("%s: is no state of this version's training, so it is left out", path)
        return None

    def drop_oldest(self) -> bool:
        """Make room for something that is worth more; False where there is nothing left to drop."""
        states = self._states()
        for old in states[-1:]:
            logger.warning("the disk is full: %s is removed to make room", old)
            old.unlink()
        return bool(states)

    def clear(self) -> None:
        """Forget the training."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self._folder / f"step_{step:07d}.pth"

    def _states(self) -> list[Path]:
        return sorted(self._folder.glob("step_*.pth"), reverse=True)


def fingerprint(job: TrainJob, cfg: EngineConfig, engine: str, arithmetic: str) -> dict[str, str]:
    """Everything that makes two trainings the same one, as texts to compare."""
    settings = dataclasses.asdict(job.settings)
    config = {key: repr(_as_list(cfg[key])) for key in cfg if key not in _FREE_KEYS}
    return {
        **config,
        **{name: repr(value) for name, value in settings.items() if name not in _FREE_SETTINGS},
        "engine": engine,
        "precision": arithmetic,
        "class_names": ", ".join(job.class_names),
        "training set": _digest(job.train_json),
        "validation set": _digest(job.val_json),
        "pretrained model": str(job.pretrained.weights) if job.pretrained else "",
    }


def takes_up(state: Mapping[str, Any], now: Mapping[str, str], *, demanded: bool) -> bool:
    """Whether a state belongs to this training; if not, say what differs, and begin anew.

    Raises:
        ConfigError: it does not, and `--resume` demanded it.
    """
    before = state["fingerprint"]
    differing = [name for name in now if before.get(name) != now[name]]
    if not differing:
        return True
    named = "; ".join(f"{name} was {_brief(before.get(name))}, is {_brief(now[name])}" for name in differing[:3])
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    if demanded:
        raise ConfigError(
            f"args_options: --resume: the unfinished training of step {state['step']} in the output folder is another"
            f" one: {named}{more}; set these as they were, or remove --resume to begin anew"
        )
    logger.warning(
        "the output folder holds an unfinished training of step %d with other settings (%s%s): beginning anew",
        state["step"], named, more,
    )  # fmt: skip
    return False


def _as_list(value: Any) -> Any:
    """Tuples and lists alike: the configuration of each engine keeps its own."""
    return [_as_list(item) for item in value] if isinstance(value, (list, tuple)) else value


def _brief(text: str | None) -> str:
    return "unknown" if text is None else text if len(text) <= 60 else text[:57] + "..."


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:16]
