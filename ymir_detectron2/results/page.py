"""report.html: one file that needs nothing else, made of the sections of a task.

All that comes from data, such as names of classes and files, is text: Jinja escapes it in the markup, scripts get it as
JSON and write it by `textContent`. Should a gap remain, the page's own Content-Security-Policy allows only the styles
and scripts of this package, by their hashes, and no connection at all.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import jinja2
from markupsafe import Markup

from ..atomic_file import atomic_write
from ..errors import StorageError, printable
from ..version import describe_version

MAX_PAGE_BYTES = 20_000_000
"""What a browser opens at once and a mail still carries; the bounds of all sections together stay below."""

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE, _SCRIPTS, _LAYOUT = "page.css", ("page.js", "charts.js"), "page.html.j2"
_SAFE_IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Section(NamedTuple):
    """A part of the page: what one kind of task has to show."""

    name: str
    """Id of its element, and the name under which its scripts find its data."""
    title: str
    template: str
    """File in `templates/`, a fragment of HTML."""
    context: Mapping[str, Any]
    """Variables of the template; a missing one is an error."""
    data: Any = None
    """For its scripts, as JSON; without NaN and infinity."""
    scripts: Sequence[str] = ()
    """Files in `templates/` that run, in this order, after `page.js` and `charts.js`."""


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Write a page atomically.

    Raises:
        StorageError: the file system refused, or the page would be larger than MAX_PAGE_BYTES.
    """
    html = render_page(title, subtitle, sections).encode("utf-8")
    if len(html) > MAX_PAGE_BYTES:
        raise StorageError(
            f"{path}: would have {len(html) / 1e6:.0f} MB, more than a browser opens at once; read the files next to it"
        )
    with atomic_write(path, "wb") as file:
        file.write(html)


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the HTML of a page, which can be encoded as UTF-8 whatever bytes its names are made of."""
    style = _own_text(_STYLE)
    names = dict.fromkeys((*_SCRIPTS, *(name for section in sections for name in section.scripts)))
    scripts = list(map(_own_text, names))
    environment = _environment()
    return environment.get_template(_LAYOUT).render(
        title=title,
        subtitle=subtitle,
        version=describe_version(),
        policy=_policy(style, scripts),
        style=Markup(style),  # noqa: S704 - a file of this package
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        sections=[
            (section, Markup(environment.get_template(section.template).render(section.context)))  # noqa: S704 - escaped
            for section in sections
        ],
        data=embedded_json({section.name: section.data for section in sections}),
    )


def embedded_json(data: Any) -> Markup:
    """Return JSON that can stand in a <script> element: no text in it can end the element or begin a comment.

    Args:
        data: of JSON's types; texts are made `printable`.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot say.
    """
    # ASCII, so that U+2028 and halves of surrogate pairs are escapes as well
    text = json.dumps(_printable(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_SAFE_IN_SCRIPT))  # noqa: S704 - <, > and & occur in texts only, where escapes may be


def _printable(data: Any) -> Any:
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, Mapping):
        return {printable(str(key)): _printable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_printable(value) for value in data]
    return data


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(_TEMPLATES)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # not of Markup, which is a str as well and would be escaped again
        finalize=lambda value: printable(value) if type(value) is str else value,
    )


def _own_text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy under which only these texts have an effect and nothing is loaded."""
    allowed = " ".join(map(_source, scripts))
    return (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {allowed};"
        " base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
