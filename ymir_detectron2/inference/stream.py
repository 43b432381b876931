"""Detections for a stream of pictures: read ahead, handed to the network in chunks, returned in input order."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Sequence

from ..engines.base import Detections, Detector, Pixels, ReadDense
from ..errors import ImageError, StoppedError
from .parts import Part, Tiling, Window, cut, merge, to_picture
from .read_ahead import ReadPicture, read_ahead

BLOCK = 32
"""Pictures that share batches. Blocks are cut by position alone, so that whoever looks at one sees the same batches:
the digits of a result depend neither on the number of processes nor on where a run was interrupted."""

PartValues = Callable[[Sequence[str], Sequence[Pixels], Sequence[Detections], Sequence[Any]], List[Any]]
"""File name, pixels, detections in those pixels, and reading of each part -> one value for each."""


class Wanted(NamedTuple):
    """What is asked of each part besides its boxes."""

    read: ReadDense | None = None
    values: PartValues | None = None


class LookedAt(NamedTuple):
    """One picture with what was found in it; of an unreadable one all is None but `error`, which says why."""

    path: Path
    image_hw: tuple[int, int] | None
    detections: Detections | None
    """In pixels of the upright picture."""
    values: list[Any]
    """What `Wanted.values` gave for its parts."""
    error: ImageError | None


def look_at(
    detector: Detector,
    paths: Iterable[Path],
    *,
    tiling: Tiling = Tiling(),  # noqa: B008 - immutable
    wanted: Wanted = Wanted(),  # noqa: B008
    num_workers: int = 0,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator[LookedAt]:
    """Run the detector over pictures, in input order; the first BLOCK paths are a block, and so on.

    Args:
        num_workers: reading threads; 0 chooses by the number of processors.
        stop_requested: asked before each look.

    Raises:
        StoppedError: a stop was requested.
    """
    workers = num_workers or min(16, len(os.sched_getaffinity(0)))
    at_once = detector.parts_at_once
    pictures = read_ahead(
        paths, lambda image: cut(image, tiling, detector), workers=workers, ahead=2 * max(at_once, workers)
    )
    while True:
        block = [_Looking(picture) for picture in itertools.islice(pictures, BLOCK)]
        if not block:
            return
        complete = 0
        for chunk in _chunks(block, at_once):
            if stop_requested():
                raise StoppedError("stopped on request before all pictures were looked at; start the task again")
            _look(detector, chunk, wanted)
            last = block.index(chunk[-1][0])  # it may have more parts, those before it have not
            yield from (looking.result() for looking in block[complete:last])
            complete = last
        yield from (looking.result() for looking in block[complete:])


class _Looking:
    """A picture whose parts are being looked at."""

    def __init__(self, picture: ReadPicture) -> None:
        self._picture = picture
        self._error = picture.error
        self._windows: list[Window] = []
        self._found: list[Detections] = []
        self._values: list[Any] = []

    def parts(self) -> Iterator[Part]:
        try:
            yield from self._picture.parts
        except ImageError as error:  # a large picture, which is decoded only now
            self._error = error

    def part_name(self, number: int) -> str:
        name = os.fspath(self._picture.path)
        return name if number == 0 else f"{name}#{number + 1}"

    def add(self, part: Part, found: Detections, value: Any) -> None:
        self._windows.append(part.window)
        self._found.append(to_picture(found, part.window, part.pixels.shape[:2]))
        self._values.append(value)

    def result(self) -> LookedAt:
        path, image_hw, _, _ = self._picture
        if self._error is not None or image_hw is None:
            return LookedAt(path, None, None, [], self._error)
        return LookedAt(path, image_hw, merge(self._found, self._windows, image_hw), self._values, None)


_Waiting = List["tuple[_Looking, str, Part]"]


def _chunks(block: Sequence[_Looking], size: int) -> Iterator[_Waiting]:
    """The parts of all pictures of a block, `size` at a time: a picture may have one, or a thousand."""
    chunk: _Waiting = []
    for looking in block:
        for number, part in enumerate(looking.parts()):
            chunk.append((looking, looking.part_name(number), part))
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _look(detector: Detector, chunk: _Waiting, wanted: Wanted) -> None:
    pixels = [part.pixels for _, _, part in chunk]
    if wanted.read is None:
        found, readings = detector.detect(pixels), [None] * len(pixels)
    else:
        found, readings = map(list, zip(*detector.detect_and_read(pixels, wanted.read)))
    values = [None] * len(pixels)
    if wanted.values is not None:
        values = wanted.values([name for _, name, _ in chunk], pixels, found, readings)
    for (looking, _, part), detections, value in zip(chunk, found, values):
        looking.add(part, detections, value)
