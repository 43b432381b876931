"""label-review.tsv: labels of a training that are probably wrong, for people and their tools. No release reads it.

    rank  score   kind   set       image                class  box          suggested class  suggested box
    1     0.8125  loose  training  /in/assets/8e5f.jpg  cat    12 30 55 80  cat              14 28 90 81

Tabs between the columns. Boxes are x1 y1 x2 y2 in whole pixels of the upright image, both corners inclusive, as the
platform's annotations have them. Class and box are empty where no label is; the suggested ones where the model found
nothing. What is read may come from a stranger: a file that breaks these rules is refused in one sentence.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Sequence, Tuple

from ..atomic_file import atomic_write
from ..errors import ExecutorError, printable
from ..untrusted_files import MAX_PATH_CHARS, read_regular
from .label_review import KINDS, MOST_LISTED, Box, Suspicion

FILE_NAME = "label-review.tsv"
_HEAD = ("rank", "score", "kind", "set", "image", "class", "box", "suggested class", "suggested box")
_MAX_BYTES = 64 << 20
_BOX = re.compile(r"-?[0-9]{1,9}( -?[0-9]{1,9}){3}", re.ASCII)
_SCORE = re.compile(r"0\.[0-9]{4}|1\.0000", re.ASCII)

PixelBox = Tuple[int, int, int, int]
"""x1 y1 x2 y2, both corners inclusive."""


class ReviewRow(NamedTuple):
    """A line of the file."""

    rank: int
    """From 1 on."""
    score: float
    kind: str
    """One of `label_review.KINDS`."""
    set_name: str
    image: str
    """As the index file names it."""
    class_name: str
    """'' where no label is."""
    box: PixelBox | None
    suggested_class: str
    suggested_box: PixelBox | None


def write_label_review(
    path: Path, suspicions: Sequence[Suspicion], image_names: Mapping[str, Callable[[int], str]],
    class_names: Sequence[str],
) -> None:  # fmt: skip
    """Write the file, the same bytes for the same suspicions.

    Args:
        image_names: set -> from the position of an image to its name.

    Raises:
        StorageError: the file system refused.
    """
    with atomic_write(path) as file:
        file.write("\t".join(_HEAD) + "\n")
        for rank, one in enumerate(suspicions, start=1):
            image = image_names[one.set_name](one.image)
            cells = [
                str(rank), f"{one.score:.4f}", one.kind, one.set_name, image,
                _class(one.class_id, class_names), _pixels(one.box_xyxy),
                _class(one.suggested_class_id, class_names), _pixels(one.suggested_box_xyxy),
            ]  # fmt: skip
            file.write("\t".join(" ".join(printable(cell).split()) for cell in cells) + "\n")


def _class(class_id: int | None, class_names: Sequence[str]) -> str:
    return "" if class_id is None else class_names[class_id]


def _pixels(box_xyxy: Box | None) -> str:
    if box_xyxy is None:
        return ""
    x1, y1, x2, y2 = map(round, box_xyxy)
    return f"{x1} {y1} {max(x1, x2 - 1)} {max(y1, y2 - 1)}"


def read_label_review(path: Path) -> list[ReviewRow] | None:
    """Read the file; None if there is none.

    Raises:
        ExecutorError: it cannot be read, or holds something else.
    """
    if not path.exists():
        return None
    try:
        lines = read_regular(path, _MAX_BYTES).decode("utf-8").split("\n")
        return _parse(lines)
    except OSError as error:
        raise ExecutorError(f"{path}: cannot be read ({error.strerror}); train again to have it") from error
    except ValueError as error:  # not UTF-8 either
        raise ExecutorError(f"{path}: is none that a training writes: {error}; train again to have it") from error


def _parse(lines: Sequence[str]) -> list[ReviewRow]:
    if lines[0].split("\t") != list(_HEAD) or lines[-1] != "":
        raise ValueError("it has another first line, or no end")
    if len(lines) - 2 > MOST_LISTED:
        raise ValueError(f"it has more than {MOST_LISTED} lines")
    rows = [_parse_row(number, line) for number, line in enumerate(lines[1:-1], start=1)]
    if any(row.score < after.score for row, after in zip(rows, rows[1:])):
        raise ValueError("the scores rise")
    return rows


def _parse_row(number: int, line: str) -> ReviewRow:
    cells = line.split("\t")
    if len(cells) != len(_HEAD) or cells[0] != str(number) or len(line) > 4 * MAX_PATH_CHARS:
        raise ValueError(f"line {number + 1} has other columns")
    _, score, kind, set_name, image, class_name, box, suggested_class, suggested_box = cells
    if not _SCORE.fullmatch(score) or kind not in KINDS or not image:
        raise ValueError(f"line {number + 1} has a score, a kind or an image that is none")
    if bool(class_name) != bool(box) or bool(suggested_class) != bool(suggested_box) or not (box or suggested_box):
        raise ValueError(f"line {number + 1} has a class without a box, or a box without a class")
    return ReviewRow(
        number, float(score), kind, set_name, image, class_name, _parse_box(number, box),
        suggested_class, _parse_box(number, suggested_box),
    )  # fmt: skip


def _parse_box(number: int, text: str) -> PixelBox | None:
    if not text:
        return None
    if not _BOX.fullmatch(text):
        raise ValueError(f"line {number + 1} has a box that is none")
    x1, y1, x2, y2 = map(int, text.split(" "))
    return x1, y1, x2, y2
