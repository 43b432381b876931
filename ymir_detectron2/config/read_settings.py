"""config.yaml to the settings of a task: converted, checked and immutable; questions about the settings of a task."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Callable, Mapping, TypeVar, get_type_hints

from ..errors import ConfigError, briefly
from .common_settings import CommonSettings
from .prediction_settings import InferSettings, MiningSettings
from .setting import ENGINES, Effects, effects_of, split_words
from .train_settings import TrainSettings

TaskSettings = TypeVar("TaskSettings", bound=CommonSettings)
ALL_SETTINGS: tuple[type[CommonSettings], ...] = (TrainSettings, InferSettings, MiningSettings)

_MAX_WHOLE_NUMBER = 2**53  # those above it are rounded when they are read, as a float


def read_settings(settings_class: type[TaskSettings], config: Mapping[str, Any]) -> TaskSettings:
    """Take the keys of one task out of config.yaml, converted to their types.

    Raises:
        ConfigError: a value cannot be converted or is out of range; the sentence names key and value.
    """
    types = get_type_hints(settings_class)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings_class):
        raw, effects = config.get(field.name), effects_of(field)
        value = None if _means_nothing(raw, effects) else _converted(field.name, raw, types[field.name], effects)
        if value:  # zero is as good as missing: from the form it would not have come
            values[field.name] = _as_declared(value, effects)
        elif effects.if_absent is not None:
            values[field.name] = effects.if_absent
    return settings_class(**values)


def values_where(settings: CommonSettings, condition: Callable[[Effects], bool]) -> dict[str, Any]:
    """Return the values of the keys whose effects meet a condition, by name."""
    return {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if condition(effects_of(field))
    }


def unimplemented_keys(settings: CommonSettings, engine: str) -> dict[str, Any]:
    """Return the keys that are set and that an engine does not implement, with their values."""
    return {
        field.name: value
        for field in dataclasses.fields(settings)
        # 1: `accumulate` with one micro-batch is off
        if (value := getattr(settings, field.name)) not in (field.default, "", 0, 1, "none")
        and engine not in effects_of(field).engines
    }


def require_implemented(settings: CommonSettings, engine: str) -> None:
    """Refuse values of keys that an engine does not implement, rather than ignore them in silence.

    Raises:
        ConfigError: names key, value and the engine that is needed.
    """
    for name, value in unimplemented_keys(settings, engine).items():
        able = [other for other in ENGINES if name not in unimplemented_keys(settings, other)]
        raise ConfigError(
            f"config.yaml: {name}: {briefly(value)} needs engine: {' or '.join(able)}; set that, or leave the key empty"
        )


def _means_nothing(value: Any, effects: Effects) -> bool:
    """Return whether a value stands for a missing one: blanks, or the word `none` where that is no choice."""
    word = value.strip().lower() if isinstance(value, str) else value
    return word in (None, "") or (word in ("none", "null") and word not in (*effects.choices, *effects.words))


def _as_declared(value: Any, effects: Effects) -> Any:
    """Return choices as they are declared: capitals and blanks make no difference, `FP16` is `fp16`."""
    if not effects.choices:
        return value
    words = split_words(value) if effects.several else [value]
    return ",".join(word.lower() if word.lower() in effects.choices else word for word in words)


def _converted(name: str, value: Any, declared: Any, effects: Effects) -> Any:
    """Return a value in the type of its key; a number that may be a word is declared as Union[int, str]."""
    if not effects.words:
        return _coerce(name, value, declared)
    word = value.strip().lower() if isinstance(value, str) else value
    expected = ", ".join(("a whole number", *effects.words[:-1])) + f" or {effects.words[-1]}"
    return word if word in effects.words else _coerce(name, value, int, expected)


def _coerce(name: str, value: Any, target: type, expected: str = "") -> Any:
    """Convert one value of config.yaml, where numbers may come as text and text as numbers."""
    try:
        if target is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value).strip()
        if target is not str and not isinstance(value, bool):
            number = float(value)  # also for int: "4.0" and "1e3" are whole numbers
            if math.isfinite(number) and (target is float or (number == int(number) <= _MAX_WHOLE_NUMBER)):
                return target(number)
    except (TypeError, ValueError, OverflowError):
        pass  # falls through to the sentence below, which fits these values as well
    expected = expected or {int: "a whole number", float: "a number", str: "text"}[target]
    raise ConfigError(
        f"config.yaml: {name}: expected {expected}, found {briefly(value)}; correct it or leave the field empty"
    )
