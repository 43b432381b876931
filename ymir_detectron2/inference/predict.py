"""Predict a stream of images: prefetched, cut into tiles, batched for the network, returned in input order.

    path -> tiles -> Detections of each tile -> Detections of the image -> ResultBox, in whole pixels

Letters: H and W height and width of an image in pixels.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, Callable, Generator, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from ..contract.infer_result import ResultBox
from ..detections import Detections, Detector, ExtractDense, Pixels
from ..errors import ImageError, StoppedError
from ..tile_windows import Tiling, Window
from .prefetch import ImageSource, PrefetchedImage, prefetch_images
from .tiling import Tile, cut_into_tiles, merge_tiles, tile_to_image

BLOCK = 32
"""Images that share batches. Blocks are cut by position only, so that every process and every restart forms the same
batches: the digits of a result depend neither on the number of processes nor on where a run was interrupted."""

ScoreTiles = Callable[[Sequence[str], Sequence[Pixels], Sequence[Detections], Sequence[Any]], Sequence[Any]]
"""Name, pixels, detections in those pixels, and extracted outputs of each tile -> one score for each."""


class PredictionHooks(NamedTuple):
    """What to compute for each tile besides its detections."""

    extract: ExtractDense | None = None
    """What to keep of the dense outputs of the network; None: nothing."""
    score: ScoreTiles | None = None
    """Called once per chunk with tiles that may belong to different images; None: no scores."""


class ImagePrediction(NamedTuple):
    """The detections of one image; for an unreadable one everything is None or empty but `error`, which says why."""

    path: Path
    """`prefetch.IN_MEMORY` for an image that is no file."""
    image_hw: tuple[int, int] | None
    detections: Detections | None
    """In pixels of the upright image."""
    tile_scores: list[Any]
    """What `PredictionHooks.score` returned for its tiles, the whole image first."""
    error: ImageError | None
    findings: tuple[str, ...] = ()
    """Of `ImageFrame`: what is said of an image that is used, but not as it is."""
    tiles: Sequence[tuple[Window, Detections]] = ()
    """What `detections` is merged from, in pixels of the image."""

    def above(self, score_threshold: float) -> ImagePrediction:
        """Return what a detector with this threshold, not below its own, would have predicted; same scores of tiles."""
        if self.image_hw is None:
            return self
        # before they are merged: a weak box that covers a better one that is cut takes its place
        windows, detections = zip(*self.tiles)
        likely = [boxes.take(np.flatnonzero(boxes.scores > score_threshold)) for boxes in detections]
        return self._replace(
            detections=merge_tiles(likely, windows, self.image_hw), tiles=tuple(zip(windows, likely))
        )

    def result_boxes(self, class_names: Sequence[str]) -> list[ResultBox]:
        """Return the detections as the platform stores boxes; [] for an unreadable image."""
        if self.detections is None or self.image_hw is None:
            return []
        return list(pixel_boxes(self.detections, self.image_hw, class_names))


def predict_images(
    detector: Detector,
    sources: Iterable[ImageSource],
    *,
    tiling: Tiling | None = None,
    hooks: PredictionHooks = PredictionHooks(),  # noqa: B008 - immutable
    num_workers: int = 0,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Generator[ImagePrediction, None, None]:
    """Run the detector over images, in input order; the first BLOCK images are a block, and so on.

    Args:
        sources: paths of files, or images in memory.
        tiling: how they are cut; None: as in the training of the model. `Tiling()` leaves them whole.
        num_workers: reading threads; 0 chooses by the number of processors.
        stop_requested: asked before each chunk, for a graceful shutdown.

    Raises:
        StoppedError: a stop was requested.
    """
    # the processors that this container may use, not those of the machine
    workers = num_workers or min(16, len(os.sched_getaffinity(0)))
    chunk_size = detector.preferred_chunk
    tiles = detector.tiling if tiling is None else tiling
    images = prefetch_images(
        sources,
        lambda image_bgr: cut_into_tiles(image_bgr, tiles, detector),
        workers=workers,
        ahead=2 * max(chunk_size, workers),  # one chunk for the network while the next one is read
    )
    while True:
        block = [_PendingImage(image) for image in itertools.islice(images, BLOCK)]
        if not block:
            return
        complete = 0
        for chunk in _chunks(block, chunk_size):
            if stop_requested():
                raise StoppedError("stopped on request before all images were processed")
            pixels = [one.tile.pixels for one in chunk]
            extracted: Sequence[Any] = [None] * len(chunk)
            if hooks.extract is None:
                detections = detector.detect(pixels)
            else:
                # one forward pass for both; pairs -> two lists
                detections, extracted = map(list, zip(*detector.detect_and_extract(pixels, hooks.extract)))
            scores: Sequence[Any] = [None] * len(chunk)
            if hooks.score is not None:
                scores = hooks.score([one.name for one in chunk], pixels, detections, extracted)
            for one, tile_detections, tile_score in zip(chunk, detections, scores):
                one.image.add(one.tile, tile_detections, tile_score)
            # the last image of a chunk may have further tiles in the next one, those before it are complete
            last = block.index(chunk[-1].image)
            yield from (pending.result() for pending in block[complete:last])
            complete = last
        yield from (pending.result() for pending in block[complete:])


class _PendingImage:
    """An image with the detections of those of its tiles that have been through the network."""

    def __init__(self, image: PrefetchedImage) -> None:
        self._image = image
        self._error = image.error
        self._windows: list[Window] = []
        self._detections: list[Detections] = []
        self._scores: list[Any] = []

    def tiles(self) -> Iterator[tuple[str, Tile]]:
        path = os.fspath(self._image.path)
        try:
            for number, tile in enumerate(self._image.tiles):
                # random numbers depend on the name: further tiles must not share those of the first
                yield (path if number == 0 else f"{path}#{number + 1}"), tile
        except ImageError as error:  # a large image, which is decoded only now
            self._error = error

    def add(self, tile: Tile, detections: Detections, score: Any) -> None:
        # not the pixels: those of a large image are freed once they have been through the network
        self._windows.append(tile.window)
        self._detections.append(tile_to_image(detections, tile.window, tile.pixels.shape[:2]))
        self._scores.append(score)

    def result(self) -> ImagePrediction:
        path, image_hw = self._image.path, self._image.image_hw
        if self._error is not None or image_hw is None:
            return ImagePrediction(path, None, None, [], self._error)
        detections = merge_tiles(self._detections, self._windows, image_hw)
        tiles = tuple(zip(self._windows, self._detections))
        return ImagePrediction(path, image_hw, detections, self._scores, None, self._image.findings, tiles)


class _PendingTile(NamedTuple):
    image: _PendingImage
    name: str
    tile: Tile


def _chunks(block: Sequence[_PendingImage], size: int) -> Iterator[list[_PendingTile]]:
    """The tiles of all images of a block, `size` at a time: an image may have one, or a thousand."""
    chunk: list[_PendingTile] = []
    for pending in block:
        for name, tile in pending.tiles():
            chunk.append(_PendingTile(pending, name, tile))
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def pixel_boxes(
    detections: Detections, image_hw: Sequence[int], class_names: Sequence[str]
) -> Iterator[ResultBox]:
    """Yield boxes with corners rounded to whole pixels, inside the image and at least one pixel wide and high.

    Args:
        image_hw: height and width of the original image.
    """
    height, width = image_hw
    corners = np.rint(detections.boxes_xyxy).astype(np.int64)
    # the last corner is clipped behind the first: a box thinner than a pixel must not become empty
    first = np.clip(corners[:, :2], 0, (width - 1, height - 1))
    last = np.clip(corners[:, 2:], first + 1, (width, height))
    for (x, y), (w, h), class_id, score in zip(
        first.tolist(), (last - first).tolist(), detections.classes.tolist(), detections.scores.tolist()
    ):
        yield ResultBox(x, y, w, h, class_names[class_id], score)
