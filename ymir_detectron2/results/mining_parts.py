"""mining-parts.tsv: what made the scores of the images that come first, a line each. For people; no release reads it.

    image               score     class  nothing_found  gain      novelty  resembles
    /in/assets/8e5f.jpg 0.720000  cat    0              0.900000  0.800    8e60.jpg

Only algorithms whose scores depend on the images chosen before have such parts, and only for those that they compare:
at most MOST_ROWS, whatever the number of candidates. It opens as a table in any spreadsheet.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator, NamedTuple

from ..atomic_file import atomic_write
from ..errors import printable
from ..untrusted_files import MAX_PATH_CHARS, open_regular

FILE_NAME = "mining-parts.tsv"
MOST_ROWS = 20_000
"""About 150 bytes each: 3 MB."""
_MOST_LINE_BYTES = 16 * MAX_PATH_CHARS  # two names and a class, of characters of four bytes


class PartsRow(NamedTuple):
    """A line of the file."""

    image: str
    """As in result.tsv, made `printable`."""
    score: float
    """As in result.tsv."""
    class_name: str
    """That adds most to the gain; '': none does."""
    nothing_found: bool
    """No box has a score above `conf_threshold`; the class is then the most probable one below."""
    gain: float
    """Before it is lowered for what the image resembles."""
    novelty: float | None
    """Factor in [0, 1]; None, an empty cell: there was nothing to compare the image with."""
    resembles: str
    """File name of the image chosen before that it resembles most; '': a labelled image, or nothing."""


_HEAD = "\t".join(("image", "score", "class", *PartsRow._fields[3:]))


def write_parts(path: Path, rows: Iterable[PartsRow]) -> None:
    """Write the file atomically; the caller gives at most MOST_ROWS, in the order of result.tsv.

    Raises:
        StorageError: the file system refused; the old file, if any, is untouched.
    """
    with atomic_write(path) as file:
        file.write(f"{_HEAD}\n")
        for row in rows:
            novelty = "" if row.novelty is None else f"{row.novelty:.3f}"
            cells = (as_cell(row.image), f"{row.score:.6f}", as_cell(row.class_name), str(int(row.nothing_found)),
                     f"{row.gain:.6f}", novelty, as_cell(row.resembles))  # fmt: skip
            file.write("\t".join(cells) + "\n")


def as_cell(name: str) -> str:
    """Return a name without what would end its cell or line: `printable` leaves tab and line break."""
    return " ".join(printable(name).split())


def read_parts(path: Path) -> list[PartsRow]:
    """Return the rows of a file that may come from anywhere; [] if there is none, or it is something else."""
    try:
        with open_regular(path) as file:
            if file.readline(_MOST_LINE_BYTES).decode("utf-8") != f"{_HEAD}\n":
                return []
            return list(map(_row, _lines(file)))
    except (OSError, ValueError):
        return []


def _lines(file: BinaryIO) -> Iterator[str]:
    for count, line in enumerate(iter(lambda: file.readline(_MOST_LINE_BYTES), b"")):
        if count == MOST_ROWS or not line.endswith(b"\n"):
            raise ValueError("more lines, or a longer one, than are written")
        yield line[:-1].decode("utf-8")


def _row(line: str) -> PartsRow:
    image, score, class_name, nothing_found, gain, novelty, resembles = line.split("\t")
    row = PartsRow(
        image, float(score), class_name, bool(int(nothing_found)), float(gain),
        float(novelty) if novelty else None, resembles,
    )  # fmt: skip
    if not all(map(math.isfinite, (row.score, row.gain))) or not 0.0 <= (row.novelty or 0.0) <= 1.0:
        raise ValueError("a number that is not written")
    return row
