"""Counts of skipped or corrected data, by reason, with a few examples of each.

Bad data never ends a task as long as some is usable; it is counted here, logged once per reason, and reported.
"""

from __future__ import annotations

from typing import Any

from ..errors import printable

FIRST_NAMES = 5
"""Examples kept per reason: enough to see a pattern, and a broken set of 100,000 images must not fill the report."""

# Reasons that several readers share
UNREADABLE = "unreadable image"
TOO_LARGE = "image too large for the memory, left out"
UNREADABLE_PIXELS = "unreadable image, found when its pixels were decoded, left out"
ROTATED = "rotated box, replaced by the upright rectangle around it"
TWICE = "object that is there twice, counted once"
SCALED = "image of another size than its annotation states, boxes scaled"
TURNED = "image that is labelled as stored, without its EXIF rotation, boxes turned"


class DataIssues:
    """Counter of reasons, in the order of their first occurrence."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}

    def add(self, reason: str, where: str, *, count: int = 1) -> None:
        """Count an occurrence, or several at one place; `where` is a path, or `path:line: text`."""
        self._counts[reason] = self._counts.get(reason, 0) + count
        first = self._first.setdefault(reason, [])
        if len(first) < FIRST_NAMES:
            # reports are UTF-8, file names may be any bytes
            first.append(printable(where))

    def merge(self, other: DataIssues) -> None:
        """Add the counts of another reader, e.g. of a worker process."""
        for reason, count in other._counts.items():
            self._counts[reason] = self._counts.get(reason, 0) + count
            first = self._first.setdefault(reason, [])
            first.extend(other._first[reason][: FIRST_NAMES - len(first)])

    def count(self, reason: str) -> int:
        return self._counts.get(reason, 0)

    def as_dict(self) -> dict[str, Any]:
        """Return `{reason: {"count": 3, "first": [...]}}`, for reports."""
        return {reason: {"count": count, "first": self._first[reason]} for reason, count in self._counts.items()}

    def summary_lines(self) -> list[str]:
        """Return one line per reason, for the log."""
        return [f"{count} x {reason}, e.g. {self._first[reason][0]}" for reason, count in self._counts.items()]

    def __bool__(self) -> bool:
        return bool(self._counts)
