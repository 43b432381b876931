"""Pictures decoded by threads ahead of the detector, in order, a bounded number at a time.

Threads, not processes: PIL decodes outside Python's lock, and no array has to cross /dev/shm, which may be 64 MB.
"""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

import numpy as np

from ..dataset.image_reading import read_image_bgr
from ..errors import ImageError


class DecodedPicture(NamedTuple):
    """A picture, or the reason why there is none."""

    path: Path
    image_bgr: np.ndarray | None
    """(H, W, 3) uint8, upright."""
    error: ImageError | None


def decode_ahead(paths: Iterable[Path], *, workers: int, ahead: int) -> Iterator[DecodedPicture]:
    """Decode pictures in the background.

    Args:
        paths: read lazily, so that a million of them need no million of anything.
        workers: threads.
        ahead: pictures held at most, decoded or in work.
    """
    remaining = iter(paths)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        pending: deque[Future[DecodedPicture]] = deque(
            pool.submit(_decode, path) for path in itertools.islice(remaining, ahead)
        )
        while pending:
            decoded = pending.popleft().result()
            pending.extend(pool.submit(_decode, path) for path in itertools.islice(remaining, 1))
            yield decoded


def _decode(path: Path) -> DecodedPicture:
    try:
        return DecodedPicture(path, read_image_bgr(path), None)
    except ImageError as error:
        return DecodedPicture(path, None, error)
