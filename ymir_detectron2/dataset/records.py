"""Index entries to records: header and annotation of every picture, read in parallel and checked.

Letters: G boxes of one picture.
"""

from __future__ import annotations

import itertools
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..contract.annotations import AnnotationReader, Box
from ..contract.findings import Findings
from ..contract.index_file import IndexEntry
from ..errors import DatasetError, ImageError
from .image_reading import read_image_hw

logger = logging.getLogger(__name__)

_CHUNK = 500  # pictures per task of a worker: starting one costs as much as reading a few


class Record(NamedTuple):
    """One usable picture of a set. Boxes are clipped to it and have an area."""

    image_path: Path
    width: int
    height: int
    boxes_xyxy: np.ndarray
    """(G, 4) float32 in pixels of the upright picture, x2 and y2 exclusive."""
    classes: np.ndarray
    """(G,) int32, 0-based position in class_names."""


def read_records(
    entries: Sequence[IndexEntry], class_names: Sequence[str], findings: Findings, *, processes: int | None = None
) -> Iterator[Record]:
    """Read the pictures of a set in index order; what cannot be used is left out and counted in `findings`.

    Args:
        processes: how many read at once; None: one per processor.

    Raises:
        DatasetError: the annotations are of a kind that cannot be read at all.
    """
    chunks = [entries[start : start + _CHUNK] for start in range(0, len(entries), _CHUNK)]
    count = min(processes or len(os.sched_getaffinity(0)), len(chunks))
    if count <= 1:
        results = map(_read_chunk, chunks, itertools.repeat(tuple(class_names)))
        yield from _collect(results, findings)
        return
    # fork: no second import of anything, and torch is not loaded yet when sets are converted
    with ProcessPoolExecutor(count, mp_context=get_context("fork")) as pool:
        yield from _collect(pool.map(_read_chunk, chunks, itertools.repeat(tuple(class_names))), findings)


def _collect(results: Iterator[tuple[list[Record], Findings]], findings: Findings) -> Iterator[Record]:
    for records, found in results:
        findings.merge(found)
        yield from records


def _read_chunk(entries: Sequence[IndexEntry], class_names: tuple[str, ...]) -> tuple[list[Record], Findings]:
    findings = Findings()
    reader = AnnotationReader(class_names, findings)
    records = (_read_record(entry, reader, findings) for entry in entries)
    return [record for record in records if record is not None], findings


def _read_record(entry: IndexEntry, reader: AnnotationReader, findings: Findings) -> Record | None:
    try:
        height, width = read_image_hw(entry.image_path)
    except ImageError as error:
        missing = not os.path.exists(entry.image_path)  # noqa: PTH110 - Path.exists raises for impossible names
        findings.add("picture file that does not exist" if missing else "unreadable picture", str(error))
        return None
    placed_boxes: list[tuple[str, Box]] = []
    if entry.annotation_path is not None:
        try:
            placed_boxes = reader.read(entry.annotation_path)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            findings.add("picture whose annotation file is missing", f"{entry.annotation_path}: {error}")
            return None
    boxes = [box for place, box in placed_boxes if _usable(place, box, width, height, findings)]
    corners = np.array([box[1:] for box in boxes], dtype=np.float32).reshape(-1, 4)
    clipped = np.clip(corners, 0, np.array([width, height, width, height], dtype=np.float32))
    return Record(entry.image_path, width, height, clipped, np.array([box.class_id for box in boxes], dtype=np.int32))


def _usable(place: str, box: Box, width: int, height: int, findings: Findings) -> bool:
    """Whether anything of the box is left inside the picture; what is lost or cut is counted."""
    _, x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2):  # NaN fails here as well
        findings.add("box without area or with swapped corners, dropped", f"{place}: {tuple(box)}")
        return False
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        findings.add("box outside the picture, dropped", f"{place}: {tuple(box)} in {width}x{height}")
        return False
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        findings.add("box over the edge of the picture, clipped", f"{place}: {tuple(box)} in {width}x{height}")
    return True


def require_usable(records: int, boxes: int, index_path: Path, findings: Findings, *, needs_boxes: bool) -> None:
    """Raise DatasetError when nothing in a set can be learned from, and say what was looked for and what was found."""
    reasons = "; ".join(findings.sentences()) or "every annotation file is empty"
    if not records:
        raise DatasetError(f"{index_path}: none of its pictures can be used ({reasons}); check the mounted folders")
    if needs_boxes and not boxes:
        raise DatasetError(
            f"{index_path}: no usable box of any class in {records} pictures ({reasons});"
            " choose a set that is labelled with these class names"
        )
