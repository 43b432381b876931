"""Index files: the images of a set, one per line.

    train-index.tsv, val-index.tsv:  /in/assets/17/8e5f.jpg \\t /in/annotations/17/8e5f.txt
    candidate-index.tsv:             /in/assets/17/8e5f.jpg

Paths may contain blanks and `/./` (YMIR 1.1 writes `/in/assets/./17/8e5f.jpeg`). A training set is read whole
(`read_index`); candidates may be a million, so `dataset/candidates.py` keeps only the offsets of their lines.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple

from ..errors import DatasetError, briefly
from ..text_file import wide_encoding
from ..untrusted_files import open_regular
from .data_issues import DataIssues
from .paths import PathMap

LISTED_TWICE = "image listed twice"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class IndexEntry(NamedTuple):
    """One image of a set."""

    asset: str
    """The image path as the platform writes it: results must use the same one."""
    image_path: Path
    annotation_path: Path | None
    """None: the image is listed without annotations."""


class IndexLine(NamedTuple):
    """One line that names an image, with container paths."""

    number: int
    """1-based; lines without an image count."""
    offset: int
    """Of its first byte in the file."""
    asset: str
    annotation: str
    """'' where there is none."""

    def entry(self, paths: PathMap) -> IndexEntry:
        """Return the line with real paths."""
        annotation_path = paths.resolve(self.annotation) if self.annotation else None
        return IndexEntry(self.asset, paths.resolve(self.asset), annotation_path)


def read_index(path: Path | None, paths: PathMap, issues: DataIssues, role: str) -> list[IndexEntry]:
    """Read an index file in file order, every image once.

    Args:
        path: the index file; None when env.yaml names none.
        issues: counts lines without an image and images that are listed twice.
        role: what the set is for, e.g. "training", for the message.

    Raises:
        DatasetError: no such file, or no image in it.
    """
    path = require_index(path, role)
    entries, seen = [], set()
    with open_index(path, role) as file:
        for line in index_lines(file, path, issues):
            entry = line.entry(paths)
            # by real path: /in/assets/./17/a.jpg and /in/assets/17/a.jpg are one image
            if entry.image_path in seen:
                issues.add(LISTED_TWICE, f"{path}:{line.number}: {line.asset}")
                continue
            seen.add(entry.image_path)
            entries.append(entry)
    if not entries:
        raise empty_index(path, role)
    return entries


def require_index(path: Path | None, role: str) -> Path:
    """Return `path`; raise DatasetError when env.yaml names none."""
    if path is None:
        raise DatasetError(f"env.yaml names no {role} index file; start the task with a {role} set")
    return path


@contextmanager
def open_index(path: Path, role: str) -> Iterator[BinaryIO]:
    """Open an index file as bytes; failing to open, to read or to decode it raises DatasetError."""
    try:
        with open_regular(path) as file:
            yield file
    except UnicodeError as error:
        raise DatasetError(f"{path}: the {role} index is damaged text ({error}); save it as UTF-8") from error
    except OSError as error:
        raise DatasetError(f"{path}: the {role} index cannot be read ({error.strerror}); create it") from error


def index_encoding(file: BinaryIO) -> str:
    """Return the UTF-16 or UTF-32 of an index file, as editors and PowerShell on Windows write it; '' for others.

    The file is at its start afterwards.
    """
    file.seek(0)
    encoding = wide_encoding(file.read(4))
    file.seek(0)
    return encoding


def index_lines(file: BinaryIO, path: Path, issues: DataIssues) -> Iterator[IndexLine]:
    """Yield the lines of an index file that name an image, in file order.

    Args:
        file: opened for reading bytes.
        path: its name, for messages.
        issues: counts lines with text but without an image.
    """
    for number, (offset, line) in enumerate(_lines(file), start=1):
        asset, annotation = _columns(line)
        if asset:
            yield IndexLine(number, offset, asset, annotation)
        elif _decode(line).strip():
            issues.add("index line without an image", f"{path}:{number}: {briefly(_decode(line))}")


def line_at(file: BinaryIO, offset: int, encoding: str) -> IndexLine:
    """Return the line that begins at `offset`, as `index_lines` gave it, except that its number is 0 (not known).

    Args:
        encoding: of `index_encoding`.

    Raises:
        DatasetError: no line with an image begins there; the file has been changed in the meantime.
    """
    file.seek(offset)
    if encoding:
        line = next(_wide_lines(file, encoding, offset), (0, b""))[1]
    else:
        line = b"".join(file.readline().splitlines()[:1])  # readline ends at \n only; the file may use \r
    asset, annotation = _columns(line)
    if not asset:
        raise DatasetError(f"{file.name}: has changed since it was first read; start the task again")
    return IndexLine(0, offset, asset, annotation)


def empty_index(path: Path, role: str) -> DatasetError:
    """Build the error for an index file that names no image."""
    # releases differ in what they make of an unknown export_format; several write index files without a line
    return DatasetError(
        f"{path}: the {role} set is empty; choose a {role} set with images, and for training leave"
        " export_format at 'ark:raw' (other values make YMIR write empty index files)"
    )


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield byte offset and content, in UTF-8, of every line, without its line end: \\n, \\r\\n or \\r."""
    encoding = index_encoding(file)
    if encoding:
        yield from _wide_lines(file, encoding, 0)
        return
    offset = 0
    for raw in file:
        start = offset
        offset += len(raw)
        if start == 0 and raw.startswith(_BYTE_ORDER_MARK):  # Windows editors write one
            start = len(_BYTE_ORDER_MARK)
            raw = raw[start:]
        # bytes.splitlines splits at \n, \r and \r\n only; str.splitlines would also split at U+2028 in a file name
        for line in raw.splitlines(keepends=True):
            yield start, line.rstrip(b"\r\n")
            start += len(line)


def _wide_lines(file: BinaryIO, encoding: str, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield what `_lines` does of a file in UTF-16 or UTF-32, from the line at the current position on."""
    text = io.TextIOWrapper(file, encoding, errors="surrogatepass", newline="")
    try:
        for line in text:
            start, offset = offset, offset + len(line.encode(encoding, "surrogatepass"))
            if line.startswith("\ufeff"):
                line, start = line[1:], start + len("\ufeff".encode(encoding))
            yield start, line.rstrip("\r\n").encode("utf-8", "surrogatepass")
    finally:
        text.detach()  # else it would close the file


def _columns(line: bytes) -> tuple[str, str]:
    """Split a line into image and annotation; '' for a column that is missing. Further columns are ignored."""
    asset, _, rest = _decode(line).partition("\t")
    return asset.strip(), rest.partition("\t")[0].strip()


def _decode(line: bytes) -> str:
    # file names on Linux are bytes, in any encoding: surrogateescape keeps them, so that the file can be opened
    return line.decode("utf-8", "surrogateescape")
