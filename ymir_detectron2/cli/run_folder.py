"""The folders of runs: RUN/in is what a task gets, RUN/out what it writes. By default runs/train, runs/train-2 ..."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from pathlib import Path
from typing import Iterator

from ..contract.partial_results import PARTIAL_RESULTS_DIR
from ..errors import ConfigError, StorageError
from ..untrusted_files import is_file

RUNS = Path("runs")
_SUMMARIES = ("train-summary.json", "mining-summary.json", "infer-summary.json")
"""Each step of a task writes one when it has ended."""


@contextlib.contextmanager
def new_run(out: Path | None, command: str) -> Iterator[Path]:
    """Yield the folder of a new run, and remove what was made in it if the block fails.

    Args:
        out: as the user named it: new, or empty; None: `runs/<command>`, numbered where that is in use.
        command: `train`, `predict` or `mine`.

    Raises:
        ConfigError: `out` is in use.
        StorageError: the folder cannot be made.
    """
    run = _numbered(command) if out is None else out
    _require_unused(run, command)
    try:
        yield run
    except BaseException:  # a stop, too: nothing of a folder that is half made is of use
        for folder in (run / "in", run / "out"):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds other files, or was never made
            run.rmdir()
        raise


def run_to_resume(out: Path | None, command: str) -> Path:
    """Return the run that `--resume` means: `out`, or the last one below `runs/`.

    Raises:
        ConfigError: there is none, or it has ended well.
    """
    run = _last(command) if out is None else out
    if not is_file(run / "in" / "env.yaml"):
        raise ConfigError(f"{run}: holds no run that could go on; leave --resume out to start one")
    if has_ended(run):
        raise ConfigError(f"{run}: this run has ended well, so there is nothing to go on with; start another one")
    return run


def has_ended(run: Path) -> bool:
    """Return whether the task of a run has written all its results: start.py then removes its unfinished work."""
    out = run / "out"
    return any(is_file(out / name) for name in _SUMMARIES) and not (out / PARTIAL_RESULTS_DIR).exists()


def _numbered(command: str) -> Path:
    """Make and return the first folder that is not there yet; of two commands at once, each gets its own."""
    for number in itertools.count(1):
        run = RUNS / (command if number == 1 else f"{command}-{number}")
        try:
            run.mkdir(parents=True)
        except OSError as error:
            if not os.path.lexists(run):  # it is `runs` itself that is no folder, or cannot be written
                raise StorageError.from_os_error(run, error) from error
        else:
            return run
    raise AssertionError("unreachable")


def _last(command: str) -> Path:
    numbers = {
        int(match[1] or 1): path
        for path in (RUNS.iterdir() if RUNS.is_dir() else ())
        if (match := re.fullmatch(rf"{command}(?:-([1-9][0-9]{{0,8}}))?", path.name))
    }
    return numbers[max(numbers)] if numbers else RUNS / command


def _require_unused(run: Path, command: str) -> None:
    try:
        if not run.exists() or (run.is_dir() and not any(run.iterdir())):
            return
    except OSError as error:
        raise StorageError.from_os_error(run, error) from error
    if not run.is_dir():
        raise ConfigError(f"{run}: is a file; choose a folder with --out")
    if not is_file(run / "in" / "env.yaml"):
        raise ConfigError(f"{run}: is in use by something else; choose another folder with --out")
    if has_ended(run):
        raise ConfigError(f"{run}: holds the results of another run; choose another folder with --out")
    raise ConfigError(f"{run}: holds an unfinished run; go on with {command} --resume --out {run}, or choose another")
