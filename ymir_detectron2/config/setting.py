"""How a key of config.yaml is declared: its default, and what else the program has to know about it.

    batch_size: int = setting(2, limit=COUNT, in_form=True)
    \"\"\"Meaning. Then, after blank lines, what `setting_texts.py` reads: Advice, 说明, 建议.\"\"\"
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Iterable, NamedTuple

from ..errors import ConfigError, briefly

ENGINES = ("detectron2", "torch")


class Limit(NamedTuple):
    """A condition on a value, and how the error message states it."""

    expected: str
    """Completes "must be ..."."""
    holds: Callable[[Any], bool]


def from_0_to(maximum: int) -> Limit:
    """Return the limit of a number in [0, maximum]."""
    return Limit(f"from 0 to {maximum}", lambda number: 0 <= number <= maximum)


ZERO_OR_MORE = Limit("zero or more", lambda number: number >= 0)
BATCH = from_0_to(65536)  # a list of as many images is made before the first of them is read


class Effects(NamedTuple):
    """What the program has to know about a key besides its value. The defaults are safe for a new key."""

    choices: tuple[str, ...] = ()
    """The values that it takes; (): any."""
    words: tuple[str, ...] = ()
    """Words that may stand in place of a number, such as `auto`."""
    several: bool = False
    """Any number of the choices, separated by commas."""
    limit: Limit | None = None
    if_absent: Any = None
    """The value of a missing or zero key, where it is not the default that the form shows."""
    in_form: bool = False
    """The web form shows it. Any other key is added there by its name, or in config.yaml."""
    is_path: bool = False
    """A text that names a file."""
    may_be_file: bool = False
    """`@FILE` stands for the content of a file, since the text may be longer than the 100 characters of the form."""
    resumable: bool = False
    """A training may be resumed with another value: it changes no result, or is part of the resolved configuration,
    which has to be equal too."""
    affects_predictions: bool = True
    """Predictions made with another value may not be reused."""
    engines: tuple[str, ...] = ENGINES
    """The engines that implement it in training; with another one, a value is an error."""


def setting(default: Any, **effects: Any) -> Any:
    """Declare a key with its default and its `Effects`, as far as they differ from the safe ones."""
    return dataclasses.field(default=default, metadata={"effects": Effects(**effects)})


def effects_of(field: dataclasses.Field[Any]) -> Effects:
    """Return what a field of a settings class was declared with."""
    return field.metadata.get("effects", Effects())


def require_valid(field: dataclasses.Field[Any], value: Any) -> None:
    """Refuse a value that is none of the choices of its key, or outside of its limit.

    Raises:
        ConfigError: names key and value, and what it must be.
    """
    effects = effects_of(field)
    if value == field.default:
        return  # always valid: for many keys it is outside of the limits and means "off" or "automatic"
    if effects.choices:
        for choice in split_words(value) if effects.several else [value]:
            require(field.name, choice, choice in effects.choices, "one of " + ", ".join(effects.choices))
    if effects.limit is not None and value not in effects.words:
        require(field.name, value, effects.limit.holds(value), effects.limit.expected)


def require(name: str, value: Any, holds: bool, expected: str) -> None:
    """Raise ConfigError with key, value and what it must be, unless a condition holds."""
    if not holds:
        raise ConfigError(f"config.yaml: {name}: must be {expected}, found {briefly(value)}")


def split_words(text: str) -> Iterable[str]:
    """Return the words between commas, without blanks around them and without empty ones."""
    return filter(None, map(str.strip, text.split(",")))
