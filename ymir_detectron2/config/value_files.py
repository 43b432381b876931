"""`@FILE` in place of a value that is longer than a field of the web form: the content of a text file.

    args_options: '@train-options.txt'
    class_weights: '@/in/weights-of-classes.txt'
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Mapping

from ..errors import ConfigError, briefly
from ..untrusted_files import is_file, is_path, read_regular
from ..version import PROJECT_DIR
from .config_file import OWN_CONFIGS, find_config
from .read_settings import ALL_SETTINGS
from .setting import effects_of

MAX_BYTES = 1 << 16
"""Weights of some thousand classes; a value is also logged."""
_REMEDY = "write @ and the path of a text file in the container"


def with_value_files(config: Mapping[str, Any], resolve: Callable[[str], Path]) -> dict[str, Any]:
    """Return config.yaml with the content of a file in place of every `@FILE`; files are not followed any further.

    A file is searched by its absolute path, or in /in, then in the folders where `config_file` is searched.

    Args:
        config: its content.
        resolve: from a container path to a real one, as `PathMap.resolve`.

    Raises:
        ConfigError: there is no such file, or it is not a short text in UTF-8; the sentence names key and file.
    """
    keys = {
        field.name
        for settings in ALL_SETTINGS
        for field in dataclasses.fields(settings)
        if effects_of(field).may_be_file
    }
    return {key: _value(key, value, resolve) if key in keys else value for key, value in config.items()}


def _value(key: str, value: Any, resolve: Callable[[str], Path]) -> Any:
    if not isinstance(value, str) or not value.strip().startswith("@"):
        return value
    name = value.strip()[1:].strip()
    place = f"config.yaml: {key}"
    if not is_path(name):
        raise ConfigError(f"{place}: {briefly(value)} names no file; {_REMEDY}")
    path = resolve(name)
    if not is_file(path) and not Path(name).is_absolute():
        path = find_config(name, (PROJECT_DIR, OWN_CONFIGS)) or path
    try:
        # with or without a byte order mark, which Windows' editors write
        return read_regular(path, MAX_BYTES).decode("utf-8-sig").strip()
    except FileNotFoundError as error:
        raise ConfigError(f"{place}: {path} does not exist; {_REMEDY}") from error
    except OSError as error:
        raise ConfigError(f"{place}: {path} cannot be read ({error.strerror}); {_REMEDY}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: {path} is not text in UTF-8; save it as UTF-8") from error
