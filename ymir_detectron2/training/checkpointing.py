"""Checkpoints of an unfinished training, from which a task started again on the same output folder resumes.

    /out/.unfinished/training/step_0000120.pth, step_0000180.pth

The newest two are kept, each written whole or not at all. A checkpoint holds `format`, `step`, `fingerprint` (settings,
classes and data of the training that it belongs to), the state of the run and of its trainer. The newest readable one
is loaded: a torn file costs the steps since the one before it, not the run.
"""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
import time
from pathlib import Path
from typing import Any, Iterator, Mapping, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..config.engine_config import EngineConfig
from ..config.settings import values_where
from ..errors import ConfigError, ModelError, StorageError, is_out_of_memory
from ..file_digest import file_digest
from ..retinanet.checkpoint import read_content, write_content
from .job import TrainJob

logger = logging.getLogger(__name__)

_FORMAT = 1
_MAX_KEPT = 2
_MAX_SECONDS_BETWEEN = 600.0  # so much is lost at most when the machine fails
_NUM_MT19937_KEYS = 624
_FREE_KEYS = frozenset(
    {"DATALOADER.NUM_WORKERS", "OUTPUT_DIR", "SOLVER.CHECKPOINT_PERIOD", "TEST.EVAL_PERIOD", "VIS_PERIOD"}
)


class CheckpointDir:
    """The folder with the checkpoints of one training; used in the process of rank 0 only."""

    def __init__(self, folder: Path, fingerprint: Mapping[str, str], period: int = 0) -> None:
        """
        Args:
            fingerprint: see `fingerprint` below.
            period: steps between two checkpoints beside those of the stages; 0: none but one every ten minutes.
        """
        self._folder = folder
        self._fingerprint = dict(fingerprint)
        self._period = period
        self._last_write_s = time.monotonic()
        self._has_warned = False
        self.last_step = 0
        """Of the newest checkpoint."""

    def is_due(self, step: int) -> bool:
        is_late = time.monotonic() - self._last_write_s > _MAX_SECONDS_BETWEEN
        return is_late or bool(self._period and step % self._period == 0)

    def write(self, step: int, content: Mapping[str, Any]) -> None:
        """Write a checkpoint and remove all but the newest two; a full disk costs one warning, not the training."""
        self.last_step, self._last_write_s = step, time.monotonic()
        path = self._folder / f"step_{step:07d}.pth"
        try:
            write_content(path, {"format": _FORMAT, "step": step, "fingerprint": self._fingerprint, **content})
        except StorageError as error:
            if not self._has_warned:
                logger.warning("the checkpoint of step %d cannot be saved: %s", step, error)
            self._has_warned = True
            return
        # only now: until the new one is complete, the old ones are all there is
        for old in self._files()[_MAX_KEPT:]:
            old.unlink()

    def load(self, *, must_resume: bool) -> dict[str, Any] | None:
        """Return the newest readable checkpoint of this training; without one, empty the folder and return None.

        Args:
            must_resume: `--resume` was given.

        Raises:
            ConfigError: `must_resume`, and the checkpoint belongs to another training.
        """
        state = self._newest()
        if state is None and must_resume:
            logger.info("--resume: the output folder holds no unfinished training, so this one begins at step 1")
        if state is None or not is_compatible(state, self._fingerprint, must_resume=must_resume):
            shutil.rmtree(self._folder, ignore_errors=True)
            return None
        self.last_step = state["step"]
        return state

    def drop_oldest(self) -> bool:
        """Remove a checkpoint to make room for a stage; False if there is none."""
        oldest = self._files()[-1:]
        for path in oldest:
            logger.warning("the disk is full: %s is removed to make room", path)
            path.unlink()
        return bool(oldest)

    def _newest(self) -> dict[str, Any] | None:
        for path in self._files():
            try:
                content = read_content(path)
            except ModelError as error:  # torn by a power cut, or no checkpoint at all
                logger.warning("cannot resume from %s", error)
                continue
            # an older version of this project may have run on the same output folder
            if _is_checkpoint(content):
                return content
            logger.warning("%s: is not a checkpoint of this version, so it is skipped", path)
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step_*.pth"), reverse=True)


def _is_checkpoint(content: Any) -> bool:
    if type(content) is not dict or type(content.get("format")) is not int or content["format"] != _FORMAT:
        return False
    step, before = content.get("step"), content.get("fingerprint")
    has_fingerprint = type(before) is dict and all(type(text) is str for text in before.values())
    return has_fingerprint and type(step) is int and step > 0


@contextlib.contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Turn whatever a state that is not of this training raises within the block into one sentence.

    Raises:
        ModelError: the checkpoint bears the fingerprint of this training, but holds something else.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{folder}: the checkpoint of the unfinished training is damaged ({type(error).__name__});"
            " remove this folder, and the training starts from step 1"
        ) from error


def fingerprint(job: TrainJob, cfg: EngineConfig, engine: str, arithmetic: str) -> dict[str, str]:
    """Return everything that identifies a training, as texts: only an equal fingerprint may be resumed."""
    settings = values_where(job.settings, lambda effects: not effects.resumable)
    # tuples and lists alike: the configuration of each engine has its own
    config = {key: repr(_tuples_to_lists(cfg[key])) for key in cfg if key not in _FREE_KEYS}
    return {
        **config,
        **{name: repr(value) for name, value in settings.items()},
        "engine": engine,
        "precision": arithmetic,  # the resolved one: `auto` differs from machine to machine
        "class_names": ", ".join(job.class_names),
        "training set": file_digest(job.train_json)[:16],
        "validation set": file_digest(job.val_json)[:16],
        "pretrained model": str(job.pretrained.weights) if job.pretrained else "",
    }


def is_compatible(state: Mapping[str, Any], fingerprint: Mapping[str, str], *, must_resume: bool) -> bool:
    """Return whether a checkpoint belongs to this training; if not, log what differs.

    Raises:
        ConfigError: it does not, and `must_resume`.
    """
    before = state["fingerprint"]
    # names of today only: a setting that a later version adds makes a difference, one that it removes does not
    differing = [name for name in fingerprint if before.get(name) != fingerprint[name]]
    if not differing:
        return True
    differences = "; ".join(
        f"{name} was {_shortened(before.get(name, 'unknown'))}, is {_shortened(fingerprint[name])}"
        for name in differing[:3]
    )
    if len(differing) > 3:
        differences += f" and {len(differing) - 3} more"
    if must_resume:
        raise ConfigError(
            f"args_options: --resume: the unfinished training of step {state['step']} in the output folder is another"
            f" one: {differences}; set these as they were, or remove --resume to start from step 1"
        )
    logger.warning(
        "the output folder holds an unfinished training of step %d with other settings (%s): starting from step 1",
        state["step"], differences,
    )  # fmt: skip
    return False


def _tuples_to_lists(value: Any) -> Any:
    return [_tuples_to_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


class Stateful(Protocol):
    """An optimizer, a loss scaler, an EMA of the weights."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> None: ...


class TrainingState:
    """Everything that a training step changes in memory: weights, what updates them, normaliser of the losses."""

    def __init__(self, model: nn.Module, members: Mapping[str, Stateful | None]) -> None:
        """
        Args:
            members: optimizer and the like, by their names in the checkpoint; None: not part of this run.
        """
        self._model = model
        self._members = {name: member for name, member in members.items() if member is not None}

    def capture(self) -> dict[str, Any]:
        """Copy everything to main memory, as plain data and tensors."""
        captured = {name: copy_to_cpu(member.state_dict()) for name, member in self._members.items()}
        # RetinaNet's running mean of positive anchors; other networks have none
        normalizer = getattr(self._model, "loss_normalizer", None)
        return {**captured, "model": copy_to_cpu(self._model.state_dict()), "loss_normalizer": normalizer}

    def restore(self, captured: Mapping[str, Any]) -> None:
        """Put back what `capture` returned, which stays valid."""
        self._model.load_state_dict(captured["model"])
        for name, member in self._members.items():
            # a copy: on the CPU an optimizer would continue in the very tensors of the snapshot
            member.load_state_dict(copy_to_cpu(captured[name]))
        if captured["loss_normalizer"] is not None:
            self._model.loss_normalizer = captured["loss_normalizer"]


def copy_to_cpu(value: Any) -> Any:
    """Copy nested containers and tensors; tensors come out on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_cpu(item) for key, item in value.items()}
    return [copy_to_cpu(item) for item in value] if isinstance(value, (list, tuple)) else value


def random_state() -> dict[str, Any]:
    """Return the states of the random generators of torch, NumPy and Python in this process."""
    # tensors and plain data: checkpoints are read by an unpickler that runs no code, not even NumPy's
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss],
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned.

    Raises:
        ValueError and others: the state is something else; see `restoring`.
    """
    keys, position, has_gauss, gauss = state["numpy"]
    # NumPy checks neither, and would read its next number wherever the position leads
    if tuple(keys.shape) != (_NUM_MT19937_KEYS,) or not 0 <= position <= _NUM_MT19937_KEYS:
        raise ValueError("the state of NumPy's random generator is out of range")
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, inner, gauss_next = state["python"]
    random.setstate((version, tuple(inner), gauss_next))
