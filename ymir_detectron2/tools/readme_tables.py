"""The parameter tables of README.md, generated from the settings dataclasses.

python3 -m ymir_detectron2.tools.readme_tables README.md     rewrites the text between the markers
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import get_type_hints

from ..atomic_file import atomic_write
from ..config.settings import DeviceSettings, Effects, InferSettings, MiningSettings, TrainSettings, effects_of
from .form_templates import form_fields

_TABLES: dict[str, type[DeviceSettings]] = {
    "training": TrainSettings,
    "inference": InferSettings,
    "mining": MiningSettings,
}


def parameter_table(settings: type[DeviceSettings]) -> str:
    """Return one row per key: name, type, default, meaning; the task's own keys before those of all tasks."""
    meanings = field_meanings(settings)
    types = get_type_hints(settings)
    rows = [
        f"| `{field.name}` | {types[field.name].__name__} | `{field.default!r}` |"
        f" {meanings[field.name]}{_choices(effects_of(field))} |"
        for field in form_fields(settings)
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def _choices(effects: Effects) -> str:
    names = ", ".join(f"`{choice}`" for choice in effects.choices)
    return f" Choices{', separated by commas' if effects.several else ''}: {names}." if names else ""


def field_meanings(settings: type) -> dict[str, str]:
    """Return the docstring under each field, base classes first."""
    # Python drops docstrings of fields, so they are read from the source
    meanings: dict[str, str] = {}
    for owner in reversed(settings.__mro__[:-1]):
        body = ast.parse(inspect.getsource(owner)).body[0].body  # type: ignore[attr-defined]
        for field, text in zip(body, body[1:]):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                meanings[field.target.id] = " ".join(ast.literal_eval(text.value).split())  # type: ignore[union-attr]
    return meanings


def with_tables(readme: str) -> str:
    """Return README.md with current tables between `<!-- NAME table -->` and `<!-- end -->`.

    Raises:
        ValueError: a pair of markers is missing or occurs twice.
    """
    for name, settings in _TABLES.items():
        begin = f"<!-- {name} table -->"
        pattern = re.compile(re.escape(begin) + ".*?<!-- end -->", re.DOTALL)
        table = f"{begin}\n{parameter_table(settings)}\n<!-- end -->"
        # a function, because in a replacement string the backslashes of a table would be escapes
        readme, count = pattern.subn(lambda _, table=table: table, readme)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"README.md needs '{begin} ... <!-- end -->' exactly once, found {count}")
    return readme


def main() -> int:
    """Rewrite the file named on the command line."""
    path = Path(sys.argv[1])
    text = with_tables(path.read_text(encoding="utf-8"))
    with atomic_write(path) as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
