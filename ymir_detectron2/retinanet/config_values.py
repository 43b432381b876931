"""One configuration value: text decoded to data, checked against the type of the default."""

from __future__ import annotations

import ast
import warnings
from typing import Any, Iterator, Mapping

from ..errors import ConfigError

_NUMBER = (int, float)
_TYPE_NAMES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "a number or null",
}


def flatten(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("SOLVER.BASE_LR", 0.01) for {"SOLVER": {"BASE_LR": 0.01}}; keys that are already dotted stay."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, name + ".")
        else:
            yield name, value


def coerce(key: str, value: Any, default: Any, source: str) -> Any:
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
        raise ConfigError(f"{source}: {key} is {value!r}, expected {expected_type(default)}")
    if isinstance(default, float):
        return float(decoded)
    return _as_tuple(decoded)


def expected_type(default: Any) -> str:
    """Say in words what a value must look like, e.g. `a list, such as [30000]`."""
    if isinstance(default, tuple):
        return f"a list, such as {as_plain(default) or ['res3', 'res4']}"
    return _TYPE_NAMES[type(default)]


def as_plain(value: Any) -> Any:
    """Turn tuples into lists, for YAML."""
    return [as_plain(item) for item in value] if isinstance(value, tuple) else value


def _decode(value: Any, default: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if isinstance(default, str) and not text.startswith(("'", '"')):
        return value  # a path or a name that happens to look like a number stays text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd text such as "1or" makes the parser grumble before it gives up
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, (list, tuple)) and all(_leaf_fits(item, default) for item in value)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if default is None:
        return value is None or isinstance(value, _NUMBER)
    return isinstance(value, _NUMBER if isinstance(default, float) else type(default))


def _leaf_fits(value: Any, default: Any) -> bool:
    """Check the kind of the innermost items: numbers, text or truth values, as in the default."""
    while isinstance(default, tuple):
        if not default:
            default = ""  # the one default that is empty, FPN.IN_FEATURES, holds names
            break
        default = default[0]
    if isinstance(value, (list, tuple)):
        return all(_leaf_fits(item, default) for item in value)
    if isinstance(default, (bool, str)):
        return isinstance(value, type(default))
    return isinstance(value, _NUMBER) and not isinstance(value, bool)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, (list, tuple)) else value
