"""Index files: which pictures belong to a set, one per line.

    train-index.tsv, val-index.tsv:  /in/assets/17/8e5f.jpg \\t /in/annotations/17/8e5f.txt
    candidate-index.tsv:             /in/assets/17/8e5f.jpg

Paths may hold blanks and `/./`. The order of lines is that of a hash map and differs from run to run (contract, 1.5).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import DatasetError
from .findings import Findings
from .paths import PathMap


class IndexEntry(NamedTuple):
    """One picture of a set."""

    asset: str
    """The picture as the platform writes it: results must name it so."""
    image_path: Path
    annotation_path: Path | None
    """None: the picture is listed without annotations."""


def read_index(path: Path | None, paths: PathMap, findings: Findings, role: str) -> list[IndexEntry]:
    """Read an index file in its own order, every picture once.

    Args:
        path: the index file; None when env.yaml names none.
        role: what the set is for, e.g. "training", for the message.

    Raises:
        DatasetError: no such file, or no picture in it.
    """
    if path is None:
        raise DatasetError(f"env.yaml names no {role} index file; start the task with a {role} set")
    try:
        # surrogateescape: a file name is bytes, and one that is no UTF-8 still has to be found
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DatasetError(f"{path}: the {role} index cannot be read ({error.strerror}); create it") from error

    entries, seen = [], set()
    for number, line in enumerate(text.split("\n"), start=1):
        columns = [column.strip() for column in line.split("\t")]
        if not columns[0]:
            if any(columns):
                findings.add("index line without a picture", f"{path}:{number}: {line!r}")
            continue
        image_path = paths.resolve(columns[0])
        if image_path in seen:
            findings.add("picture listed twice", f"{path}:{number}: {columns[0]}")
            continue
        seen.add(image_path)
        annotation = columns[1] if len(columns) > 1 else ""
        entries.append(IndexEntry(columns[0], image_path, paths.resolve(annotation) if annotation else None))
    if not entries:
        raise DatasetError(
            f"{path}: the {role} set is empty; choose a {role} set with pictures, and for training leave"
            " export_format at 'ark:raw' (other values make YMIR write empty index files)"
        )
    return entries
