"""In which arithmetic the partial results of a task were computed, since another machine may go on with them.

    /out/.unfinished/mining-3f9c/computed-in-0d1f2e3c.txt    bf16 on GPU (NVIDIA A100-SXM4-40GB)

One file for each kind of arithmetic, named by its content. Results of two kinds are kept together, with a warning:
whether the hours that they cost are worth more than one ranking is for the user to say (docs/precision.md has figures).
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path

from ..errors import StorageError

logger = logging.getLogger(__name__)

_PREFIX = "computed-in-"


def note_arithmetic(folder: Path, arithmetic: str) -> None:
    """Note what this process computes in; warn if results in something else are there.

    Of several processes, one warns: the one that makes the file.

    Args:
        folder: of the partial results.
        arithmetic: see `Detector.arithmetic`; '' notes nothing, since nothing is computed.

    Raises:
        StorageError: the file system refused.
    """
    path = folder / f"{_PREFIX}{zlib.crc32(arithmetic.encode()):08x}.txt"
    if not arithmetic or path.exists():
        return
    others = _noted(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(arithmetic)
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError.from_os_error(path, error) from error
    if others:
        logger.warning(
            "the finished images were computed in %s, the others are now in %s: their scores are not quite comparable"
            " (docs/precision.md); to have all of one kind, stop this task, remove %s and start it again",
            " and ".join(others), arithmetic, folder,
        )  # fmt: skip


def _noted(folder: Path) -> list[str]:
    """Return what other processes or earlier starts have noted; a note that a power cut emptied says nothing."""
    files = sorted(path for path in folder.glob(f"{_PREFIX}*.txt") if path.is_file())
    return [text for text in (path.read_text(encoding="utf-8", errors="replace").strip() for path in files) if text]
