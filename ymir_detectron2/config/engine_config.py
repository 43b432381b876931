"""detectron2's configuration as immutable, flat data by dotted keys: one class for both engines.

Example: cfg["SOLVER.BASE_LR"] is 0.01; cfg.merged({"SOLVER.BASE_LR": "0.02"}, "args_options") is a changed copy.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Iterator, Mapping, Protocol, TypeVar

import yaml

from ..errors import ConfigError, briefly

AnyConfig = TypeVar("AnyConfig", bound="EngineConfig")
_LoadedConfig = TypeVar("_LoadedConfig", bound="EngineConfig", covariant=True)

_NUMBER = (int, float)  # bool, which Python counts as an int, is excluded where this is used
_INT_BITS = 63  # of torch's integers; a longer one could neither become a float nor be printed
_TYPE_NAMES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "a number or null",
}


class EngineConfig(Mapping[str, Any]):
    """A complete configuration: every key of `DEFAULTS` has a value, and sequences are tuples.

    Each engine subclasses it with the keys that its networks read.
    """

    DEFAULTS: ClassVar[Mapping[str, Any]]
    ADDED_AFTER_0_6: ClassVar[Mapping[str, Any]]
    """Keys that detectron2 0.6 rejects as unknown, with their defaults: a saved file holds them only if changed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = dict(values)

    @classmethod
    def default(cls: type[AnyConfig]) -> AnyConfig:
        """Return detectron2's defaults."""
        return cls(cls.DEFAULTS)

    @classmethod
    def is_ignored(cls, key: str, value: Any) -> bool:
        """Return whether an unknown key may be dropped in silence, because it changes nothing for these networks."""
        return False

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        changed = {key: value for key, value in self._values.items() if value != self.DEFAULTS[key]}
        return f"{type(self).__name__}({changed})"

    def merged(self: AnyConfig, values: Mapping[str, Any], source: str) -> AnyConfig:
        """Return a copy with `values` on top.

        Args:
            values: dotted or nested keys; text such as "(60000, 80000)" is decoded.
            source: a file or `args_options`, for the error message.

        Raises:
            ConfigError: unknown key (the nearest known one is named) or a value of the wrong type.
        """
        result = dict(self._values)
        for key, value in flatten(values):
            if key in self.DEFAULTS:
                # the default's type decides, not that of an earlier value: WEIGHT_DECAY_BIAS may be null or a number
                result[key] = _coerce(key, value, self.DEFAULTS[key], source)
            elif not self.is_ignored(key, value):
                raise ConfigError(f"{source}: {_unknown_key(key, self.DEFAULTS)}")
        return type(self)(result)

    def to_yaml(self, changed: Mapping[str, Any] = MappingProxyType({})) -> str:
        """Return nested YAML of plain values, which detectron2 0.6 and later merge as they are.

        Args:
            changed: values by dotted keys that are written instead, or that this engine has no key for.
        """
        tree: dict[str, Any] = {}
        for key, value in {**self._values, **changed}.items():
            if key in self.ADDED_AFTER_0_6 and value == self.ADDED_AFTER_0_6[key]:
                continue
            *sections, name = key.split(".")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
            node[name] = _as_lists(value)
        return yaml.safe_dump(tree, sort_keys=True, default_flow_style=None, allow_unicode=True)


class ConfigLoader(Protocol[_LoadedConfig]):
    """Reads a YAML file over the defaults of an engine, see `retinanet_config.load_config`."""

    def __call__(self, path: Path, keys: tuple[str, ...] = ...) -> _LoadedConfig: ...


def flatten(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("SOLVER.BASE_LR", 0.01) for {"SOLVER": {"BASE_LR": 0.01}}; keys that are already dotted stay."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, name + ".")
        else:
            yield name, value


def as_tuples(value: Any) -> Any:
    """Return a value with every list in it, at any depth, as a tuple."""
    return tuple(map(as_tuples, value)) if isinstance(value, (list, tuple)) else value


def _as_lists(value: Any) -> Any:
    # YAML has no tuples: PyYAML would write them with a python tag
    return list(map(_as_lists, value)) if isinstance(value, tuple) else value


def _unknown_key(key: str, known: Mapping[str, Any]) -> str:
    """Return what is wrong with a key that is not in `known`, with the nearest one that is."""
    first_inside = next((name for name in known if name.startswith(key + ".")), None)
    if first_inside:
        return f"{key} is a section; set one of the keys in it, such as {first_inside}"
    near = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else "see detectron2's config reference"
    return f"unknown key {briefly(key)}; {hint}"


def _coerce(key: str, value: Any, default: Any, source: str) -> Any:
    """Return `value` as the type of `default`, with every sequence as a tuple.

    The rules are yacs': text is read as a Python literal, lists and tuples are interchangeable, everything else must
    have the default's type. In addition an int may stand for a float, and `null` for a norm means none.

    Raises:
        ConfigError: the type does not fit; names key, value, source and the expected type.
    """
    decoded = _decode(value, default)
    if decoded is None and key.endswith(".NORM"):
        return ""
    if not _fits(decoded, default):
        if isinstance(default, tuple):
            # an empty default would be no example: that of FPN.IN_FEATURES gets one
            expected = f"a list, such as {_as_lists(default) or ['res3', 'res4']}"
        elif isinstance(decoded, int) and decoded.bit_length() > _INT_BITS:
            expected = "a smaller number"
        else:
            expected = _TYPE_NAMES[type(default)]
        raise ConfigError(f"{source}: {key} is {briefly(value)}, expected {expected}")
    # an int for a float becomes one, so that equal configurations are written as equal YAML
    return float(decoded) if isinstance(default, float) else as_tuples(decoded)


def _decode(value: Any, default: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if isinstance(default, str) and not text.startswith(("'", '"')):
        return value  # a path or a name that happens to look like a number stays text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # text such as "1or" makes Python's parser warn before it gives up
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value  # a word, whose type is checked like that of any other value


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return 1 <= _depth(value) <= _depth(default) and all(_item_fits(item, default) for item in value)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if default is None:
        return value is None or _is_number(value, _NUMBER)  # as for WEIGHT_DECAY_BIAS
    if isinstance(default, str):
        return isinstance(value, str)
    return _is_number(value, _NUMBER if isinstance(default, float) else (int,))


def _is_number(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool) or not isinstance(value, types):
        return False
    return not isinstance(value, int) or value.bit_length() <= _INT_BITS


def _depth(value: Any) -> int:
    """Return how many sequences are nested, 0 for a single value; -1 where that is not the same for all items."""
    if not isinstance(value, (list, tuple)):
        return 0
    depths = set(map(_depth, value)) or {0}
    return depths.pop() + 1 if len(depths) == 1 and -1 not in depths else -1


def _item_fits(value: Any, default: Any) -> bool:
    """Return whether the innermost items are of the default's kind: numbers, text or truth values.

    The length is not compared, and the depth may be smaller: ANCHOR_GENERATOR.SIZES may be one list or one per level.
    """
    while isinstance(default, tuple):
        default = default[0] if default else ""  # an empty default, such as that of FPN.IN_FEATURES, holds names
    if isinstance(value, (list, tuple)):
        return all(_item_fits(item, default) for item in value)
    if isinstance(default, (bool, str)):
        return isinstance(value, type(default))
    return _is_number(value, _NUMBER)
