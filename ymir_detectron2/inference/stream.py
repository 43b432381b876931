"""Detections for a stream of pictures: decoded ahead, handed to the detector in windows, returned in input order."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple

import numpy as np

from ..engines.base import Detections, Detector
from ..errors import ImageError, StoppedError
from .decode_ahead import decode_ahead

WINDOW = 16  # pictures that the detector may sort into batches of equal shape


class DetectedPicture(NamedTuple):
    """One picture with what was found in it; for an unreadable one both are None and `error` says why."""

    path: Path
    image_bgr: np.ndarray | None
    detections: Detections | None
    error: ImageError | None


def detect_windows(
    detector: Detector, paths: Iterable[Path], *, num_workers: int, stop_requested: Callable[[], bool]
) -> Iterator[list[DetectedPicture]]:
    """Run the detector over pictures, a window of them at a time, in input order.

    Args:
        num_workers: decoding threads; 0 chooses by the number of processors.
        stop_requested: asked before each window.

    Raises:
        StoppedError: a stop was requested.
    """
    workers = num_workers or min(8, len(os.sched_getaffinity(0)))
    decoded = decode_ahead(paths, workers=workers, ahead=2 * WINDOW)
    while True:
        window = list(itertools.islice(decoded, WINDOW))
        if not window:
            return
        if stop_requested():
            raise StoppedError("stopped on request before all pictures were looked at; start the task again")
        found = iter(detector.detect([picture.image_bgr for picture in window if picture.image_bgr is not None]))
        yield [
            DetectedPicture(
                picture.path, picture.image_bgr, next(found) if picture.image_bgr is not None else None, picture.error
            )
            for picture in window
        ]
