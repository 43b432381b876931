"""Prefetch images: decoded and resized by threads ahead of the network, in order, a bounded number at a time.

Threads, not processes: PIL releases Python's lock while it decodes, and no array has to cross /dev/shm, which may be
64 MB in a container.
"""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence, Union

import numpy as np

from ..dataset.image_reading import read_image_bgr, read_image_frame
from ..dataset.reading_guard import guard
from ..errors import ImageError
from .tiling import Tile

LARGE = 16_000_000
"""Pixels. A larger image is decoded when its turn comes: several at a time would fill the memory."""

CutIntoTiles = Callable[[np.ndarray], Iterator[Tile]]
ImageSource = Union[Path, np.ndarray]
"""The path of an image file, or an upright (H, W, 3) uint8 BGR image."""
IN_MEMORY = Path("image in memory")
"""Stands for the path of an image that has none."""


class PrefetchedImage(NamedTuple):
    """An image as tiles, or the reason why there are none."""

    path: Path
    image_hw: tuple[int, int] | None
    """Height and width of the upright image."""
    tiles: Iterable[Tile]
    """To be iterated once. Those of a large image are cut on the way, which may raise ImageError."""
    error: ImageError | None
    findings: tuple[str, ...] = ()
    """Of `ImageFrame`."""


def prefetch_images(
    sources: Iterable[ImageSource], cut: CutIntoTiles, *, workers: int, ahead: int
) -> Iterator[PrefetchedImage]:
    """Read images in the background, in the order of their sources.

    Args:
        sources: consumed lazily, at most `ahead` further than the images returned.
        cut: from an upright (H, W, 3) uint8 BGR image to its tiles; called in the threads.
        workers: threads.
        ahead: images held at most, read or being read.
    """
    remaining = iter(sources)
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        pending: deque[Future[PrefetchedImage]] = deque(
            pool.submit(_read, source, cut) for source in itertools.islice(remaining, ahead)
        )
        try:
            while pending:
                # the oldest first, though others may be ready: results keep the order of the sources
                image = pending.popleft().result()
                # the next one is read while the caller works on this one
                pending.extend(pool.submit(_read, source, cut) for source in itertools.islice(remaining, 1))
                yield image
        finally:  # a caller that stops early need not wait for images that it will not use
            for future in pending:
                future.cancel()


def _read(source: ImageSource, cut: CutIntoTiles) -> PrefetchedImage:
    if isinstance(source, np.ndarray):
        height, width = source.shape[:2]
        tiles = cut(source)  # a generator, which the caller runs; here, only if the tiles do not take much memory
        return PrefetchedImage(IN_MEMORY, (height, width), tiles if _is_large(source.shape) else list(tiles), None)
    return _read_file(source, cut)


def _read_file(path: Path, cut: CutIntoTiles) -> PrefetchedImage:
    try:
        frame = read_image_frame(path)  # from the header, before any pixel is decoded
        image_hw = frame.upright_hw
        if _is_large(image_hw):
            return PrefetchedImage(path, image_hw, _read_late(path, cut), None, frame.findings)
        with guard().in_work(path):  # until its tiles are cut
            return PrefetchedImage(path, image_hw, list(cut(read_image_bgr(path))), None, frame.findings)
    except ImageError as error:  # one unreadable image must not end the task
        return PrefetchedImage(path, None, (), error)


def _is_large(shape: Sequence[int]) -> bool:
    return shape[0] * shape[1] > LARGE


def _read_late(path: Path, cut: CutIntoTiles) -> Iterator[Tile]:
    # a generator: the image is decoded when the first tile is asked for, in the thread of the caller
    with guard().in_work(path):
        yield from cut(read_image_bgr(path))
