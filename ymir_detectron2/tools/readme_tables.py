"""The parameter tables of README.md, made from the settings dataclasses.

python3 -m ymir_detectron2.tools.readme_tables README.md     rewrites what stands between the markers
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import get_type_hints

from ..atomic_file import atomic_write
from ..settings import DeviceSettings, InferSettings, MiningSettings, TrainSettings

_TABLES: dict[str, type[DeviceSettings]] = {
    "training": TrainSettings,
    "inference": InferSettings,
    "mining": MiningSettings,
}


def parameter_table(settings: type[DeviceSettings]) -> str:
    """One row per key: name, type, default, meaning; the keys of the task itself before those that all share."""
    meanings = field_meanings(settings)
    types = get_type_hints(settings)
    shared = {field.name for field in dataclasses.fields(DeviceSettings)}
    fields = sorted(dataclasses.fields(settings), key=lambda field: field.name in shared)
    rows = [
        f"| `{field.name}` | {types[field.name].__name__} | `{field.default!r}` | {meanings[field.name]} |"
        for field in fields
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def field_meanings(settings: type) -> dict[str, str]:
    """The text under each field, base classes first."""
    meanings: dict[str, str] = {}
    for owner in reversed(settings.__mro__[:-1]):
        body = ast.parse(inspect.getsource(owner)).body[0].body  # type: ignore[attr-defined]
        for field, text in zip(body, body[1:]):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                meanings[field.target.id] = " ".join(ast.literal_eval(text.value).split())  # type: ignore[union-attr]
    return meanings


def with_tables(readme: str) -> str:
    """README.md with the tables of today between `<!-- NAME table -->` and `<!-- end -->`."""
    for name, settings in _TABLES.items():
        begin = f"<!-- {name} table -->"
        pattern = re.compile(re.escape(begin) + ".*?<!-- end -->", re.DOTALL)
        table = f"{begin}\n{parameter_table(settings)}\n<!-- end -->"
        readme, count = pattern.subn(lambda _, table=table: table, readme)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"README.md needs '{begin} ... <!-- end -->' exactly once, found {count}")
    return readme


def main() -> int:
    """Rewrite the file that is named on the command line."""
    path = Path(sys.argv[1])
    text = with_tables(path.read_text(encoding="utf-8"))
    with atomic_write(path) as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
