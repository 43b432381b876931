"""The page of an active learning experiment: tables and figures in one HTML file, for a browser without a network."""

from __future__ import annotations

import base64
import html
import re
from typing import Mapping, Sequence

from benchmarks.learning_figures import ALT
from benchmarks.learning_report import Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 0.5em 0 1em }
td, th { border: 1px solid #ccc; padding: 0.25em 0.6em; text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
.wide { overflow-x: auto }
img { max-width: 100% }
"""


def format_page(title: str, facts: str, tables: Sequence[Table], figures: Mapping[str, bytes]) -> str:
    """Return the HTML.

    Args:
        title: of the experiment.
        facts: how it was run, a paragraph.
        tables: shown after the figures.
        figures: file name -> PNG, which becomes part of the page.
    """
    images = [_format_image(ALT.get(name, name), png) for name, png in figures.items()]
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{_inline(facts)}</p>", *images, *map(_format_table, tables)]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f"<!DOCTYPE html>\n<html lang=\"en\"><head>{head}</head><body>\n" + "\n".join(parts) + "\n</body></html>\n"


def _format_image(alt: str, png: bytes) -> str:
    return f'<p><img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'


def _format_table(one: Table) -> str:
    head = "".join(f"<th>{_inline(text)}</th>" for text in one.columns)
    rows = "".join("<tr>" + "".join(f"<td>{_inline(text)}</td>" for text in row) + "</tr>\n" for row in one.rows)
    caption = f"<h2>{html.escape(one.title)}</h2>\n<p>{_inline(one.caption)}</p>"
    return f'{caption}\n<div class="wide"><table><tr>{head}</tr>\n{rows}</table></div>'


def _inline(text: str) -> str:
    """Return the HTML of a cell; `code` is all of Markdown that the tables use."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))
