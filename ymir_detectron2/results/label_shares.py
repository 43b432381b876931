"""Where the labels of a ranking go: how many of the first images are of which class, and in how many nothing is found.

The class of an image is the one that adds most to its score, or where an algorithm keeps no such parts, the one of most
boxes in infer-result.json.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Iterable, Iterator, Mapping, NamedTuple, Sequence

from ..contract.infer_result import ResultBox, read_infer_result
from ..untrusted_files import is_file
from .mining_parts import FILE_NAME, PartsRow, as_cell, read_parts
from .task_output import TaskOutput

CUTS = (50, 100, 500, 1000)
"""Budgets of labelling: so many of the first images are looked at together."""
MOST_CLASSES = 20
"""Of the table: those that have most of all images; the others are one row."""
_POINTS = 100
"""Of the line of novelty."""
NOTHING_FOUND = ""
"""In place of the class of an image."""


class ShareRow(NamedTuple):
    """One class of the table, all others together, or the images in which nothing is found."""

    name: str
    counts: Sequence[int]
    """Images among the first so many, in the order of `LabelShares.cuts`."""


class LabelShares(NamedTuple):
    """Images by class, among the first so many and among all that are known."""

    cuts: Sequence[int]
    """Ascending; the last one is all images that are known."""
    rows: Sequence[ShareRow]
    novelty: Sequence[Sequence[float]]
    """Rank and mean novelty about it; [] where the algorithm has none."""
    is_by_gain: bool
    """Whether the class of an image is the one that adds most to its score; False: that of most boxes."""


def label_shares(output: TaskOutput, order: Sequence[str]) -> LabelShares | None:
    """Return where the labels go; None where no file of the folder says it.

    Args:
        output: of a task of mining.
        order: assets of the first images as in result.tsv, CUTS[-1] at most.
    """
    rows = {row.image: row for row in read_parts(output.out_dir / FILE_NAME)}
    order_by_cell = list(map(as_cell, order))
    if order_by_cell and all(cell in rows for cell in order_by_cell[: CUTS[0]]):
        classes = ((row.image, NOTHING_FOUND if row.nothing_found else row.class_name) for row in rows.values())
        return LabelShares(*_count(order_by_cell, classes), novelty_by_rank(list(rows.values())), is_by_gain=True)
    if order and is_file(output.infer_result):
        names = [PurePosixPath(asset).name for asset in order]
        found = ((name, class_of_most_boxes(boxes)) for name, boxes in read_infer_result(output.infer_result))
        return LabelShares(*_count(names, found), [], is_by_gain=False)
    return None


def _count(order: Sequence[str], classes: Iterable[tuple[str, str]]) -> tuple[Sequence[int], Sequence[ShareRow]]:
    """Return the cuts and the rows.

    Args:
        order: names of the first images, best first.
        classes: of any number of images; streamed, since there may be a million.
    """
    is_first = set(order)
    class_of: dict[str, str] = {}
    of_all: Counter[str] = Counter()
    for name, class_name in classes:
        of_all[class_name] += 1
        if name in is_first:
            class_of[name] = class_name
    total = sum(of_all.values())
    cuts = [cut for cut in CUTS if cut <= len(order) and cut < total]
    first = [Counter(class_of[name] for name in order[:cut] if name in class_of) for cut in cuts]
    return [*cuts, total], list(_rows([*first, of_all]))


def _rows(counters: Sequence[Mapping[str, int]]) -> Iterator[ShareRow]:
    of_all = counters[-1]
    names = sorted((name for name in of_all if name != NOTHING_FOUND), key=lambda name: (-of_all[name], name))
    for name in names[:MOST_CLASSES]:
        yield ShareRow(name, [counter.get(name, 0) for counter in counters])
    others = names[MOST_CLASSES:]
    if others:
        counts = [sum(counter.get(name, 0) for name in others) for counter in counters]
        yield ShareRow(f"{len(others)} other classes", counts)
    if of_all.get(NOTHING_FOUND):
        yield ShareRow("nothing found", [counter.get(NOTHING_FOUND, 0) for counter in counters])


def class_of_most_boxes(boxes: Sequence[ResultBox]) -> str:
    """Return the class of most boxes, of several the one with the highest sum of scores; NOTHING_FOUND without any."""
    sums: dict[str, tuple[int, float]] = {}
    for box in boxes:
        count, score = sums.get(box.class_name, (0, 0.0))
        sums[box.class_name] = count + 1, score + box.score
    return max(sums, key=lambda name: sums[name], default=NOTHING_FOUND)


def novelty_by_rank(rows: Sequence[PartsRow]) -> list[list[float]]:
    """Return the middle rank and the mean novelty of up to _POINTS stretches of equal length, where it is known."""
    length = max(1, -(-len(rows) // _POINTS))
    points = []
    for start in range(0, len(rows), length):
        known = [row.novelty for row in rows[start : start + length] if row.novelty is not None]
        if known:
            last = min(start + length, len(rows))
            points.append([(start + 1 + last) / 2, sum(known) / len(known)])
    return points
