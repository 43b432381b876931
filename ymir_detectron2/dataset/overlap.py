"""Images that are in the training set and in the validation set too: metrics of learned images say nothing.

The platform refuses such a task; nothing else does. Files are compared by content, whatever they are called. Near
copies, such as neighbouring frames of a video, are not looked for.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from pathlib import Path
from typing import Iterable

from ..file_digest import file_digest


def images_in_both(training: Iterable[Path], validation: Iterable[Path]) -> list[Path]:
    """Return the validation images whose file is also one of the training set, byte by byte.

    Only files of one size are read, which for 100,000 photographs is about one in five. Files that cannot be read are
    left out: they are counted where their pixels are needed.
    """
    training_by_size = _by_size(training)
    shared: list[Path] = []
    for size, images in _by_size(validation).items():
        candidates = training_by_size.get(size, [])
        digests = set(filter(None, map(_digest, candidates)))
        shared += [image for image in images if digests and _digest(image) in digests]
    return shared


def _by_size(images: Iterable[Path]) -> dict[int, list[Path]]:
    by_size: dict[int, list[Path]] = defaultdict(list)
    for image in images:
        with contextlib.suppress(OSError, ValueError):  # ValueError: a path with a NUL
            by_size[os.stat(image).st_size].append(image)  # noqa: PTH116 - a third of the time of Path.stat
    return by_size


def _digest(image: Path) -> str:
    try:
        return file_digest(image)
    except OSError:
        return ""
