"""Index files: which pictures belong to a set, one per line.

    train-index.tsv, val-index.tsv:  /in/assets/17/8e5f.jpg \\t /in/annotations/17/8e5f.txt
    candidate-index.tsv:             /in/assets/17/8e5f.jpg

Paths may hold blanks and `/./`. The order of lines is that of a hash map and differs from run to run (contract, 1.5).
A training set is read whole (`read_index`); candidates may be a million, see `dataset/candidates.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator, NamedTuple

from ..errors import DatasetError
from .findings import Findings
from .paths import PathMap

LISTED_TWICE = "picture listed twice"
_WITHOUT_PICTURE = "index line without a picture"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class IndexEntry(NamedTuple):
    """One picture of a set."""

    asset: str
    """The picture as the platform writes it: results must name it so."""
    image_path: Path
    annotation_path: Path | None
    """None: the picture is listed without annotations."""


class IndexLine(NamedTuple):
    """One line that names a picture, as it stands in the file."""

    number: int
    """From 1 on; lines without a picture count."""
    offset: int
    """Of its first byte in the file."""
    asset: str
    annotation: str
    """'' where there is none."""

    def entry(self, paths: PathMap) -> IndexEntry:
        """The line with real paths."""
        annotation_path = paths.resolve(self.annotation) if self.annotation else None
        return IndexEntry(self.asset, paths.resolve(self.asset), annotation_path)


def read_index(path: Path | None, paths: PathMap, findings: Findings, role: str) -> list[IndexEntry]:
    """Read an index file in its own order, every picture once.

    Args:
        path: the index file; None when env.yaml names none.
        role: what the set is for, e.g. "training", for the message.

    Raises:
        DatasetError: no such file, or no picture in it.
    """
    path = require_index(path, role)
    entries, seen = [], set()
    with open_index(path, role) as file:
        for line in index_lines(file, path, findings):
            entry = line.entry(paths)
            if entry.image_path in seen:
                findings.add(LISTED_TWICE, f"{path}:{line.number}: {line.asset}")
                continue
            seen.add(entry.image_path)
            entries.append(entry)
    if not entries:
        raise empty_index(path, role)
    return entries


def require_index(path: Path | None, role: str) -> Path:
    """The path itself; DatasetError when env.yaml names none."""
    if path is None:
        raise DatasetError(f"env.yaml names no {role} index file; start the task with a {role} set")
    return path


@contextmanager
def open_index(path: Path, role: str) -> Iterator[BinaryIO]:
    """Open an index file as bytes; a failure to open or to read it is a DatasetError."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DatasetError(f"{path}: the {role} index cannot be read ({error.strerror}); create it") from error


def index_lines(file: Iterable[bytes], path: Path, findings: Findings) -> Iterator[IndexLine]:
    """The lines of an index file that name a picture, in order, one at a time.

    Args:
        file: open for reading bytes, at its beginning.
        path: its name, for findings.
    """
    for number, (offset, line) in enumerate(_lines(file), start=1):
        asset, annotation = _columns(line)
        if asset:
            yield IndexLine(number, offset, asset, annotation)
        elif _text(line).strip():
            findings.add(_WITHOUT_PICTURE, f"{path}:{number}: {_text(line)!r}")


def line_at(file: BinaryIO, offset: int) -> IndexLine:
    """The line that begins at `offset`, as `index_lines` gave it; its number is not known any more: 0.

    Raises:
        DatasetError: there is none; somebody has written into the file.
    """
    file.seek(offset)
    asset, annotation = _columns(b"".join(file.readline().splitlines()[:1]))
    if not asset:
        raise DatasetError(f"{file.name}: has changed since it was first read; start the task again")
    return IndexLine(0, offset, asset, annotation)


def empty_index(path: Path, role: str) -> DatasetError:
    """What is said about an index file that names no picture."""
    return DatasetError(
        f"{path}: the {role} set is empty; choose a {role} set with pictures, and for training leave"
        " export_format at 'ark:raw' (other values make YMIR write empty index files)"
    )


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of every line, without its end, which may be that of any system."""
    offset = 0
    for raw in file:
        start = offset
        offset += len(raw)
        if start == 0 and raw.startswith(_BYTE_ORDER_MARK):
            start = len(_BYTE_ORDER_MARK)
            raw = raw[start:]
        for line in raw.splitlines(keepends=True):  # of bytes: only at \n, \r and \r\n
            yield start, line.rstrip(b"\r\n")
            start += len(line)


def _columns(line: bytes) -> tuple[str, str]:
    """Picture and annotation of a line; '' for what is not there."""
    asset, _, rest = _text(line).partition("\t")
    return asset.strip(), rest.partition("\t")[0].strip() if rest else ""


def _text(line: bytes) -> str:
    # surrogateescape: a file name is bytes, and one that is no UTF-8 still has to be found
    return line.decode("utf-8", "surrogateescape")
