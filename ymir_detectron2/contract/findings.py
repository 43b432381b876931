"""What was left out or changed while reading, counted by reason, with the first names of each."""

from __future__ import annotations

from typing import Any

from ..errors import printable

FIRST_NAMES = 5


class Findings:
    """A counter that can say where to look. Order of reasons is the order in which they first came up."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}

    def add(self, reason: str, where: str) -> None:
        """Count one thing; `where` is a path, or `path:line: text`."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        first = self._first.setdefault(reason, [])
        if len(first) < FIRST_NAMES:
            first.append(printable(where))

    def merge(self, other: Findings) -> None:
        """Add what another reader found."""
        for reason, count in other._counts.items():
            self._counts[reason] = self._counts.get(reason, 0) + count
            first = self._first.setdefault(reason, [])
            first.extend(other._first[reason][: FIRST_NAMES - len(first)])

    def count(self, reason: str) -> int:
        return self._counts.get(reason, 0)

    def as_dict(self) -> dict[str, Any]:
        """`{reason: {"count": 3, "first": [...]}}`, for reports."""
        return {reason: {"count": count, "first": self._first[reason]} for reason, count in self._counts.items()}

    def sentences(self) -> list[str]:
        """One line per reason, for the log."""
        return [f"{count} x {reason}, e.g. {self._first[reason][0]}" for reason, count in self._counts.items()]

    def __bool__(self) -> bool:
        return bool(self._counts)
