"""detectron2's configuration: immutable, flat, dotted keys, and the YAML files that hold it.

Example: `_BASE_: "../Base-RetinaNet.yaml"`, then `MODEL: {RESNETS: {DEPTH: 50}}`; cfg["MODEL.RESNETS.DEPTH"] is 50.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import yaml

from ..errors import ConfigError
from .config_defaults import ADDED_AFTER_0_6, DEFAULTS, is_never_read
from .config_values import as_plain, coerce, flatten
from .supported import check_supported

__all__ = [
    "Config",
    "check_supported",
    "load_config",
    "parse_key_values",
    "read_values",
    "unknown_key",
    "values_to_yaml",
]


class Config(Mapping[str, Any]):
    """A whole configuration; every key of DEFAULTS has a value, and sequences are tuples."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = dict(values)

    @classmethod
    def default(cls) -> Config:
        """Return detectron2's defaults."""
        return cls(DEFAULTS)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        changed = {key: value for key, value in self._values.items() if value != DEFAULTS[key]}
        return f"Config({changed})"

    def merged(self, values: Mapping[str, Any], source: str) -> Config:
        """Return a copy with `values` on top.

        Args:
            values: dotted or nested keys; texts such as "(60000, 80000)" are decoded.
            source: where they come from, for the error: a file or `args_options`.

        Raises:
            ConfigError: unknown key (the nearest known one is named) or a value of the wrong type.
        """
        result = dict(self._values)
        for key, value in flatten(values):
            if key in DEFAULTS:
                result[key] = coerce(key, value, DEFAULTS[key], source)
            elif not is_never_read(key):
                raise ConfigError(f"{source}: {unknown_key(key, DEFAULTS)}")
        return Config(result)

    def to_yaml(self) -> str:
        """Write nested YAML of plain values, which detectron2 0.6 and later merge as they are."""
        return values_to_yaml(
            {key: value for key, value in self.items() if not (key in ADDED_AFTER_0_6 and value == DEFAULTS[key])}
        )


def load_config(path: Path) -> Config:
    """Read a YAML file in detectron2's form, with the files that its `_BASE_` names, over the defaults.

    Raises:
        ConfigError: no such file, no YAML, no mapping, a python tag, an unknown key or a value of the wrong type.
    """
    return Config.default().merged(read_values(path), str(path))


def read_values(path: Path) -> dict[str, Any]:
    """Read the flat values of a YAML file, over those of the files that its `_BASE_` names, without judging them.

    Raises:
        ConfigError: no such file, no YAML, no mapping or a python tag.
    """
    return _read_with_base(Path(path), ())


def values_to_yaml(values: Mapping[str, Any]) -> str:
    """Write dotted keys as nested YAML of plain values."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = as_plain(value)
    return yaml.safe_dump(tree, sort_keys=True, default_flow_style=None, allow_unicode=True)


def unknown_key(key: str, known: Mapping[str, Any]) -> str:
    """Say what is wrong with a key that is not in `known`, with the nearest one that is."""
    first_inside = next((name for name in known if name.startswith(key + ".")), None)
    if first_inside:
        return f"{key} is a section; set one of the keys in it, such as {first_inside}"
    near = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.6)
    return f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "; see detectron2's config reference")


def parse_key_values(tokens: Sequence[str], source: str) -> dict[str, Any]:
    """Pair up `["SOLVER.STEPS", "(100,)"]`; the values stay text, which Config.merged decodes.

    Raises:
        ConfigError: the last key has no value.
    """
    if len(tokens) % 2:
        raise ConfigError(f"{source}: the key {tokens[-1]!r} has no value; write KEY VALUE pairs")
    return dict(zip(tokens[0::2], tokens[1::2]))


def _read_with_base(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """Return the flat values of a file over those of its bases; `children` are the files that led here."""
    here = path.resolve()
    if here in children:
        raise ConfigError(f"{children[-1]}: _BASE_ leads back to {path}; break the circle")
    tree = _read_mapping(path, children[-1] if children else None)
    bases = tree.pop("_BASE_", [])
    values: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        values.update(_read_with_base(_base_path(base, path), (*children, here)))
    values.update(flatten(tree))
    return values


def _base_path(base: object, path: Path) -> Path:
    if not isinstance(base, str) or "://" in base:
        raise ConfigError(f"{path}: _BASE_ is {base!r}, expected a file name relative to this file")
    return path.parent / Path(base).expanduser()


def _read_mapping(path: Path, child: Path | None) -> dict[Any, Any]:
    if path.suffix == ".py":
        raise ConfigError(f"{path}: a lazy config is Python code, which this engine never runs; give a YAML file")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(_missing_file(path, child)) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(_no_yaml(path, error)) from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected sections such as 'MODEL:', found {type(tree).__name__}")
    return tree


def _missing_file(path: Path, child: Path | None) -> str:
    folder = path.parent
    wanted = f"{path}: no such file" + (f", named as _BASE_ by {child}" if child else "")
    if not folder.is_dir():
        return f"{wanted}; the folder {folder} does not exist either"
    names = sorted(item.name for item in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"{wanted}; {folder} holds {', '.join(near) if near else 'nothing of a similar name'}"


def _no_yaml(path: Path, error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{path}: not YAML ({str(error).splitlines()[0]})"
    mark = error.problem_mark or error.context_mark
    place = f"{path}, line {mark.line + 1}" if mark else str(path)
    if isinstance(error, yaml.constructor.ConstructorError):
        return (
            f"{place}: {error.problem}; tags can run code and are refused: write plain values instead, "
            "for example [[32, 40.3, 50.8]] where a formula stood"
        )
    return f"{place}: not YAML ({error.problem})"
