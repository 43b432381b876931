"""Index entries to records: size and boxes of every usable image, read in parallel and checked.

Letters: G boxes of one image.
"""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..contract.annotations import AnnotationReader, Box
from ..contract.data_issues import TOO_LARGE, TWICE, UNREADABLE, DataIssues
from ..contract.index_file import IndexEntry
from ..errors import ImageError, ImageTooLargeError
from .image_reading import ImageFrame, read_image_frame
from .label_frames import to_upright_image

_CHUNK = 500  # images per work item: passing one to a worker costs as much as reading a few images


class Record(NamedTuple):
    """One usable image with its ground-truth boxes, which are clipped to it and have an area."""

    image_path: Path
    width: int
    height: int
    boxes_xyxy: np.ndarray
    """(G, 4) float32 in pixels of the upright image, x2 and y2 exclusive."""
    classes: np.ndarray
    """(G,) int32, 0-based position in class_names."""


def read_records(
    entries: Sequence[IndexEntry], class_names: Sequence[str], issues: DataIssues, *, processes: int | None = None
) -> Iterator[Record]:
    """Read the images of a set in index order; what cannot be used is skipped and counted.

    Args:
        entries: the images.
        class_names: in the order of their ids.
        issues: counts skipped images and boxes, and clipped boxes.
        processes: number of worker processes; None: one per processor.

    Raises:
        DatasetError: the annotations have a format that cannot be read.
    """
    chunks = [entries[start : start + _CHUNK] for start in range(0, len(entries), _CHUNK)]
    names = itertools.repeat(tuple(class_names))
    # not os.cpu_count(): a container may have fewer processors than the machine
    count = min(processes or len(os.sched_getaffinity(0)), len(chunks))
    if count <= 1:
        yield from _merge(map(_read_chunk, chunks, names), issues)
        return
    # processes, because annotations are parsed in Python; fork, because it imports nothing again, and is safe as long
    # as torch with its threads is not loaded, which it is only after the conversion
    with ProcessPoolExecutor(count, mp_context=get_context("fork")) as pool:
        yield from _merge(pool.map(_read_chunk, chunks, names), issues)


def _merge(results: Iterator[tuple[list[Record], DataIssues]], issues: DataIssues) -> Iterator[Record]:
    for records, chunk_issues in results:
        issues.merge(chunk_issues)
        yield from records


def _read_chunk(entries: Sequence[IndexEntry], class_names: tuple[str, ...]) -> tuple[list[Record], DataIssues]:
    issues = DataIssues()
    reader = AnnotationReader(class_names, issues)
    records = (_read_record(entry, reader, issues) for entry in entries)
    return [record for record in records if record is not None], issues


def _read_record(entry: IndexEntry, reader: AnnotationReader, issues: DataIssues) -> Record | None:
    try:
        frame = read_image_frame(entry.image_path)
    except ImageTooLargeError as error:
        issues.add(TOO_LARGE, str(error))
        return None
    except ImageError as error:
        missing = not os.path.exists(entry.image_path)  # noqa: PTH110 - Path.exists raises for impossible names
        issues.add("image file that does not exist" if missing else UNREADABLE, str(error))
        return None
    located_boxes = _read_boxes(entry.annotation_path, frame, reader, issues)
    if located_boxes is None:
        return None
    for finding in frame.findings:
        issues.add(finding, str(entry.image_path))
    height, width = frame.upright_hw
    boxes = [box for place, box in located_boxes if _is_usable(place, box, width, height, issues)]
    if len(set(boxes)) < len(boxes):
        issues.add(TWICE, str(entry.annotation_path), count=len(boxes) - len(set(boxes)))
        boxes = list(dict.fromkeys(boxes))
    # float64 until it is clipped: an annotation may hold a number that float32 does not
    corners = np.array([box[1:] for box in boxes], dtype=np.float64).reshape(-1, 4)
    clipped = np.clip(corners, 0, [width, height, width, height]).astype(np.float32)
    return Record(entry.image_path, width, height, clipped, np.array([box.class_id for box in boxes], dtype=np.int32))


def _read_boxes(
    path: Path | None, frame: ImageFrame, reader: AnnotationReader, issues: DataIssues
) -> list[tuple[str, Box]] | None:
    """Return the boxes of an image with their locations; None if its annotations cannot be used."""
    if path is None:
        return []
    try:
        labels = reader.read(path)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        # an image without objects has an empty file; a missing one would teach that there are none
        issues.add("image whose annotation file is missing", f"{path}: {error}")
        return None
    return None if labels is None else to_upright_image(labels, frame, str(path), issues)


def _is_usable(place: str, box: Box, width: int, height: int, issues: DataIssues) -> bool:
    """Return whether a part of the box is inside the image; count boxes that are dropped or will be clipped."""
    _, x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2):  # written so that NaN fails as well
        issues.add("box without area or with swapped corners, dropped", f"{place}: {tuple(box)}")
        return False
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        issues.add("box outside the image, dropped", f"{place}: {tuple(box)} in {width}x{height}")
        return False
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        if not math.isfinite(x2 - x1 + y2 - y1):  # from a division by zero, for example
            issues.add("box with an infinite corner, dropped", f"{place}: {tuple(box)}")
            return False
        issues.add("box over the edge of the image, clipped", f"{place}: {tuple(box)} in {width}x{height}")
    return True
