"""Pictures decoded and resized by threads ahead of the network, in order, a bounded number at a time.

Threads, not processes: PIL works outside Python's lock, and no array has to cross /dev/shm, which may be 64 MB.
"""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple

import numpy as np

from ..dataset.image_reading import read_image_bgr, read_image_hw
from ..errors import ImageError
from .parts import Part

LARGE = 16_000_000
"""Pixels. A larger picture is decoded when its turn comes: several at a time would fill the memory."""

Cut = Callable[[np.ndarray], Iterator[Part]]


class ReadPicture(NamedTuple):
    """A picture as parts, or the reason why there are none."""

    path: Path
    image_hw: tuple[int, int] | None
    """Height and width of the upright picture."""
    parts: Iterable[Part]
    """To be gone through once. Of a large picture it makes them on the way, and may raise ImageError."""
    error: ImageError | None


def read_ahead(paths: Iterable[Path], cut: Cut, *, workers: int, ahead: int) -> Iterator[ReadPicture]:
    """Read pictures in the background.

    Args:
        paths: read lazily, so that a million of them need no million of anything.
        cut: from an upright (H, W, 3) uint8 BGR picture to its parts; called in the threads.
        workers: threads.
        ahead: pictures held at most, read or in work.
    """
    remaining = iter(paths)
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        pending: deque[Future[ReadPicture]] = deque(
            pool.submit(_read, path, cut) for path in itertools.islice(remaining, ahead)
        )
        try:
            while pending:
                picture = pending.popleft().result()
                pending.extend(pool.submit(_read, path, cut) for path in itertools.islice(remaining, 1))
                yield picture
        finally:  # whoever stops early need not wait for what nobody will look at
            for future in pending:
                future.cancel()


def _read(path: Path, cut: Cut) -> ReadPicture:
    try:
        image_hw = read_image_hw(path)
        if image_hw[0] * image_hw[1] > LARGE:
            return ReadPicture(path, image_hw, _read_late(path, cut), None)
        return ReadPicture(path, image_hw, list(cut(read_image_bgr(path))), None)
    except ImageError as error:
        return ReadPicture(path, None, (), error)


def _read_late(path: Path, cut: Cut) -> Iterator[Part]:
    yield from cut(read_image_bgr(path))
