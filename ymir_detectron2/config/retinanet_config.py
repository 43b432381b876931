"""The configuration of the `torch` engine: the keys of detectron2 that a RetinaNet reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .config_file import read_values
from .defaults import ADDED_AFTER_0_6, DEFAULTS, is_never_read
from .engine_config import EngineConfig
from .model_keys import only


class RetinaNetConfig(EngineConfig):
    """See `EngineConfig`; keys that only other networks read are accepted and dropped."""

    DEFAULTS = DEFAULTS
    ADDED_AFTER_0_6 = ADDED_AFTER_0_6

    @classmethod
    def is_ignored(cls, key: str, value: Any) -> bool:
        return is_never_read(key)


def load_config(path: Path, keys: tuple[str, ...] = ()) -> RetinaNetConfig:
    """Read a YAML file in detectron2's form, with the files that its `_BASE_` names, over the defaults.

    Args:
        keys: the keys and sections to read; others keep their defaults, and are not checked. (): all.

    Raises:
        ConfigError: no such file, no YAML, no mapping, a python tag, an unknown key or a value of the wrong type.
    """
    return RetinaNetConfig.default().merged(only(read_values(path), keys), str(path))
