"""Checkpoints of an unfinished training, from which a task started again on the same output folder resumes.

    /out/.unfinished/training/step_0000120.pth, step_0000180.pth

The newest two are kept, each written whole or not at all. A checkpoint holds `format`, `step`, `fingerprint` (settings,
classes and data of the training that it belongs to), the state of the run and of its trainer. The newest one that is
sound is used: a damaged file costs the steps since the one before it, not the run.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any, Iterator, Mapping

from ..config.engine_config import EngineConfig
from ..config.read_settings import values_where
from ..contract.kept_work import CHECKPOINT_NAME
from ..errors import ConfigError, ModelError, StorageError, briefly, is_out_of_memory
from ..file_digest import file_digest
from ..retinanet.checkpoint import read_content, write_content
from ..tile_windows import Tiling
from .job import TrainJob

logger = logging.getLogger(__name__)

_FORMAT = 2
_MAX_KEPT = 2
_MAX_SECONDS_BETWEEN = 600.0  # so much is lost at most when the machine fails
_FREE_KEYS = frozenset(
    {
        "DATALOADER.NUM_WORKERS", "MODEL.DEVICE", "OUTPUT_DIR", "SOLVER.AMP.ENABLED", "SOLVER.CHECKPOINT_PERIOD",
        "TEST.EVAL_PERIOD", "VIS_PERIOD",
    }
)  # fmt: skip
_PRECISION = "precision"


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
        path = self._folder / _file_name(step)
        try:
            write_content(path, {"format": _FORMAT, "step": step, "fingerprint": self._fingerprint, **content})
        except StorageError as error:
            if not self._has_warned:
                logger.warning("the checkpoint of step %d cannot be saved: %s", step, error)
            self._has_warned = True
            return
        # only now: until the new one is complete, the old ones are all there is. Later ones were passed over when this
        # training was resumed: as the newest two they would outlive those from which it can be resumed.
        kept = [file for file in self._files() if file.name <= path.name][:_MAX_KEPT]
        for file in self._files():
            if file not in kept:
                _remove(file)

    def newest_first(self, *, must_resume: bool) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield the readable checkpoints of this training; whoever resumes from one does not ask for the next.

        After the last one the folder is emptied.

        Args:
            must_resume: `--resume` was given.

        Raises:
            ConfigError: `must_resume`, and all checkpoints belong to another training.
        """
        others: list[tuple[Path, dict[str, Any]]] = []
        is_mine = False
        for path in self._files():
            state = _read_state(path)
            if state is None:
                continue
            if difference(state, self._fingerprint):
                others.append((path, state))
                continue
            for other, content in others if not is_mine else ():
                logger.warning("cannot resume from %s: it is of a training with other settings (%s)", other,
                               difference(content, self._fingerprint))  # fmt: skip
            is_mine = True
            _warn_of_precision(state, self._fingerprint)
            self.last_step = state["step"]
            yield path, state
        self.last_step = 0
        if not is_mine:
            _tell_of_another_training(others[0][1] if others else None, self._fingerprint, must_resume=must_resume)
        shutil.rmtree(self._folder, ignore_errors=True)

    def drop_oldest(self) -> bool:
        """Remove a checkpoint to make room for a stage; False if there is none."""
        oldest = self._files()[-1:]
        if oldest:
            logger.warning("the disk is full: %s is removed to make room", oldest[0])
        return any(map(_remove, oldest))

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step_*.pth"), reverse=True)


def _remove(file: Path) -> bool:
    try:
        file.unlink()
        return True
    except OSError as error:  # a folder of that name, or a file system that has become read-only
        logger.warning("%s: cannot be removed (%s)", file, error.strerror)
        return False


def _read_state(path: Path) -> dict[str, Any] | None:
    try:
        content = read_content(path)
    except ModelError as error:  # torn by a power cut, or no checkpoint at all
        logger.warning("cannot resume from %s", error)
        return None
    # an older version of this project may have run on the same output folder
    if _is_checkpoint(content) and path.name == _file_name(content["step"]):
        return content  # type: ignore[no-any-return]
    logger.warning("cannot resume from %s: it is not a checkpoint of this version", path)
    return None


def _file_name(step: int) -> str:
    return CHECKPOINT_NAME.format(step)


def _is_checkpoint(content: Any) -> bool:
    if type(content) is not dict or type(content.get("format")) is not int or content["format"] != _FORMAT:
        return False
    step, before = content.get("step"), content.get("fingerprint")
    has_fingerprint = type(before) is dict and all(type(text) is str for text in before.values())
    return has_fingerprint and type(step) is int and 0 < step < 1 << 63


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn whatever a state that is not of this training raises within the block into one sentence.

    Raises:
        ModelError: the checkpoint bears the fingerprint of this training, but holds something else.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        finding = briefly(" ".join(str(error).split()))
        raise ModelError(f"{path}: is damaged ({type(error).__name__}: {finding})") from error


def fingerprint(
    job: TrainJob, cfg: EngineConfig, engine: str, arithmetic: str, tiling: Tiling = Tiling()  # noqa: B008 - immutable
) -> dict[str, str]:
    """Return everything that identifies a training, as texts, and its arithmetic; see `difference`."""
    settings = values_where(job.settings, lambda effects: not effects.resumable)
    # tuples and lists alike: the configuration of each engine has its own
    config = {key: repr(_tuples_to_lists(cfg[key])) for key in cfg if key not in _FREE_KEYS}
    return {
        **config,
        **{name: repr(value) for name, value in settings.items()},
        "engine": engine,
        _PRECISION: arithmetic,  # the resolved one: `auto` differs from machine to machine
        "class_names": ", ".join(job.class_names),
        "training set": file_digest(job.train_json)[:16],
        "validation set": file_digest(job.val_json)[:16],
        # what `auto` or the chosen model have come to, so that the keys themselves may differ
        **{name: str(pixels) for name, pixels in tiling.as_metadata().items()},
        "pretrained model": str(job.pretrained.weights) if job.pretrained else "",
    }


def difference(state: Mapping[str, Any], fingerprint: Mapping[str, str]) -> str:
    """Return what makes a checkpoint that of another training; '' if it belongs to this one."""
    before = state["fingerprint"]
    # names of today only: a setting that a later version adds makes a difference, one that it removes does not
    differing = [name for name in fingerprint if before.get(name) != fingerprint[name] and name != _PRECISION]
    differences = "; ".join(
        f"{name} was {_shortened(before.get(name, 'unknown'))}, is {_shortened(fingerprint[name])}"
        for name in differing[:3]
    )
    return differences + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")


def _tell_of_another_training(
    state: Mapping[str, Any] | None, fingerprint: Mapping[str, str], *, must_resume: bool
) -> None:
    """Log why a training begins at step 1, or with `must_resume` raise ConfigError."""
    if state is None:
        if must_resume:
            logger.info("--resume: the output folder holds no unfinished training, so this one begins at step 1")
        return
    differences = difference(state, fingerprint)
    if must_resume:
        raise ConfigError(
            f"args_options: --resume: the unfinished training of step {state['step']} in the output folder is another"
            f" one: {differences}; set these as they were, or remove --resume to start from step 1"
        )
    logger.warning(
        "the output folder holds an unfinished training of step %d with other settings (%s): starting from step 1",
        state["step"], differences,
    )  # fmt: skip


def _warn_of_precision(state: Mapping[str, Any], fingerprint: Mapping[str, str]) -> None:
    """A training may go on on another machine, whose device computes in something else."""
    before, now = state["fingerprint"].get(_PRECISION), fingerprint.get(_PRECISION)
    if before != now:
        logger.warning("the training of step %d was computed in %s, and goes on in %s", state["step"], before, now)


def _tuples_to_lists(value: Any) -> Any:
    return [_tuples_to_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
