"""The resolved configuration of a training for people: a file of the output, and its differences to `config_file`."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import without_credentials
from .engine_config import EngineConfig
from .train_settings import TrainSettings

RESOLVED_CONFIG_NAME = "resolved-config.yaml"
"""In the output folder; it may be given to another training as its `config_file`."""
_MAX_DIFFERENCES = 40
_MAX_LENGTH = 60


def resolved_yaml(cfg: EngineConfig, settings: TrainSettings) -> str:
    """Return the file: every key of the configuration, and in comments the keys of config.yaml that are set.

    Addresses of weights come without user, password and query, which may hold a token.
    """
    lines = ["# the resolved configuration of this training; keys of config.yaml that differ from their defaults:"]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            lines.append(f"# {field.name}: {' '.join(without_credentials(str(value)).split())}")
    return "\n".join([*lines, without_credentials(cfg.to_yaml())])


def differences(cfg: EngineConfig, base: EngineConfig) -> str:
    """Return the keys of a configuration that have another value than in `base`, with both; '' if there are none."""
    changed = [key for key in cfg if cfg[key] != base.get(key)]
    shown = [f"{key} {_briefly(base.get(key))} -> {_briefly(cfg[key])}" for key in changed[:_MAX_DIFFERENCES]]
    more = [f"{len(changed) - _MAX_DIFFERENCES} more, see {RESOLVED_CONFIG_NAME}"] * (len(changed) > _MAX_DIFFERENCES)
    return ", ".join([*shown, *more])


def _briefly(value: Any) -> str:
    text = without_credentials(str(value)) if value != "" else "''"
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."
