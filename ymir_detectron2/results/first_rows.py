"""The first rows of a ranking with their reasons, for the log and the terminal."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Sequence

from ..contract.mining_result import read_mining_result
from ..errors import printable
from .mining_explanations import FILE_NAME, read_explanations
from .reason_words import reason_in_brief

MOST_ROWS = 5
_MOST_NAME, _MOST_WORDS = 48, 120
"""In characters: the platform keeps the whole log. Its own names, a SHA-1 and a suffix, have 45."""


class FirstRow(NamedTuple):
    """An image at the head of result.tsv."""

    rank: int
    name: str
    """File name, on one line and bounded; the end of a long one, which tells frames of one video apart."""
    score: float
    reason: str
    """In a few words; '': there is none on record."""


def first_rows(result: Path) -> Sequence[FirstRow]:
    """Return the first rows of result.tsv, with what mining-explanations.json next to it says of them.

    Raises:
        DatasetError: result.tsv is damaged.
    """
    explanations = read_explanations(result.with_name(FILE_NAME))
    reasons = {}
    if explanations is not None:
        reasons = {image.asset: reason_in_brief(image) for image in explanations.images}
    return [
        FirstRow(rank, _end(PurePosixPath(asset).name), score, _beginning(reasons.get(printable(asset), "")))
        for rank, (asset, score) in enumerate(itertools.islice(read_mining_result(result), MOST_ROWS), start=1)
    ]


def _end(name: str) -> str:
    name = _on_one_line(name)
    return name if len(name) <= _MOST_NAME else "..." + name[3 - _MOST_NAME :]


def _beginning(words: str) -> str:
    words = _on_one_line(words)
    return words if len(words) <= _MOST_WORDS else words[: _MOST_WORDS - 3] + "..."


def _on_one_line(text: str) -> str:
    return " ".join(printable(text).split())
