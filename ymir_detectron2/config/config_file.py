"""Configuration files in detectron2's form: YAML, inheriting from the files that `_BASE_` names, read as plain data.

    _BASE_: "../Base-RetinaNet.yaml"
    MODEL:
      RESNETS: {DEPTH: 50}
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..yaml_file import NotYamlError, load_yaml
from .engine_config import flatten


def read_values(path: Path) -> dict[str, Any]:
    """Return the values of a file by dotted keys, over those of its bases; neither keys nor types are checked.

    Raises:
        ConfigError: no such file, not YAML, not a mapping or a python tag.
    """
    return _read_with_bases(Path(path), ())


def _read_with_bases(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """Do `read_values` for one file; `children` are the files that inherit from it, from the first one on."""
    resolved = path.resolve()
    if resolved in children:
        raise ConfigError(f"{children[-1]}: _BASE_ leads back to {path}; break the circle")
    tree = _read_mapping(path, children[-1] if children else None)
    bases = tree.pop("_BASE_", [])
    values: dict[str, Any] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        # an address too, which detectron2 would download
        if not isinstance(base, str) or "://" in base:
            raise ConfigError(f"{path}: _BASE_ is {base!r}, expected a file name relative to this file")
        values.update(_read_with_bases(path.parent / Path(base).expanduser(), (*children, resolved)))
    values.update(flatten(tree))
    return values


def _read_mapping(path: Path, child: Path | None) -> dict[Any, Any]:
    if path.suffix == ".py":
        raise ConfigError(f"{path}: a lazy config is Python code, which this engine never runs; give a YAML file")
    try:
        tree = load_yaml(path)
    except FileNotFoundError as error:
        raise ConfigError(_missing_file(path, child)) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except NotYamlError as error:
        place = f"{path}, line {error.line}" if error.line else str(path)
        if error.is_tag:
            raise ConfigError(
                f"{place}: {error.problem}; tags can run code and are refused: write plain values instead, "
                "for example [[32, 40.3, 50.8]] where a formula stood"
            ) from error
        raise ConfigError(f"{place}: not YAML ({error.problem})") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected sections such as 'MODEL:', found {type(tree).__name__}")
    return tree


def _missing_file(path: Path, child: Path | None) -> str:
    folder = path.parent
    finding = f"{path}: no such file" + (f", named as _BASE_ by {child}" if child else "")
    if not folder.is_dir():
        return f"{finding}; the folder {folder} does not exist either"
    names = sorted(item.name for item in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"{finding}; {folder} holds {', '.join(near) if near else 'nothing of a similar name'}"
