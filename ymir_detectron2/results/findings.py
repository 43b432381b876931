"""What was left out or corrected, from the summaries and reports that tasks write: counts by reason, with examples."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple

MOST_FINDINGS = 50
_MOST_EXAMPLES = 5


class Finding(NamedTuple):
    """A row of the table."""

    reason: str
    times: int
    examples: tuple[str, ...]


def read_findings(report: Mapping[str, Any]) -> list[Finding]:
    """Return the `findings` of a report, see `DataIssues.as_dict`; entries of any other form are left out."""
    listed = report.get("findings")
    return list(_findings(listed))[:MOST_FINDINGS] if isinstance(listed, dict) else []


def _findings(listed: Mapping[str, Any]) -> Iterator[Finding]:
    for reason, entry in listed.items():
        count, first = (entry.get("count"), entry.get("first")) if isinstance(entry, dict) else (None, None)
        if type(count) is int and isinstance(first, list):
            yield Finding(reason, count, tuple(map(str, first[:_MOST_EXAMPLES])))
