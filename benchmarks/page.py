"""Tables, and the page that they go into: docs/benchmarks.md, where the section between two markers is replaced.

    <!-- measured: mining-cpu -->
    | algorithm | images/s |
    <!-- end of mining-cpu -->

All text outside of markers is written by hand and stays.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any, Sequence

from ymir_detectron2.atomic_file import atomic_write

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
NOT_MEASURED = "-"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format a Markdown table; None becomes a dash, numbers get three significant digits."""
    lines = [_line(columns), "|" + "---|" * len(columns)]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells and the table {len(columns)} columns: {row}")
        lines.append(_line([cell(value) for value in row]))
    return "\n".join(lines)


def cell(value: Any) -> str:
    """Format a value for a table."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")  # "#" keeps zeros: 1.00
    return f"{value:,}" if isinstance(value, int) else str(value)


def promise(what: str, least: float | None = None, most: float | None = None, *, measured: float | None) -> list[Any]:
    """Build a row of a table of promises: what, the bound, the measurement, and whether it is kept.

    Args:
        least, most: the bound; exactly one of them.
        measured: None where it could not be measured here.
    """
    bound = f"at least {least:g}" if most is None else f"at most {most:g}"
    if measured is None:
        return [what, bound, None, "not measured here"]
    kept = measured >= least if least is not None else most is not None and measured <= most
    return [what, bound, measured, "kept" if kept else "missed"]


def promises_table(rows: Sequence[Sequence[Any]]) -> str:
    """Format rows of `promise`."""
    return table(["promise", "bound", "measured", ""], rows)


def with_section(page: str, name: str, content: str) -> str:
    """Return the page with `content` between the markers of a section.

    Raises:
        ValueError: the page has no such section, or several.
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"expected one section between '{begin}' and '{end}'")
    # a function, not a template: content may hold backslashes
    return pattern.sub(lambda _: f"{begin}\n{content.strip()}\n{end}", page)


def publish(name: str, content: str, page: Path | None) -> None:
    """Print a section, and write it into the page.

    Args:
        page: None to print only.
    """
    print(f"\n{content.strip()}\n", flush=True)
    if page is not None:
        text = with_section(page.read_text(encoding="utf-8"), name, content)
        with atomic_write(page) as file:  # an interrupted run leaves the page whole
            file.write(text)


def mean_and_range(values: Sequence[float], form: str = ".3f") -> str:
    """Format "mean (lowest to highest)" over the seeds of an experiment; one value alone, '' without any."""
    if len(values) < 2:
        return f"{values[0]:{form}}" if values else ""
    return f"{statistics.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
