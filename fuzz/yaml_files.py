"""YAML files: what a task and a model package are made of, with anchors, odd scalars, tags and damage."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Callable

from ymir_detectron2.config.config_file import read_values
from ymir_detectron2.config.prediction_settings import MiningSettings
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.contract.task import monitor_place
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.packed_model import pack_best_stage
from ymir_detectron2.yaml_file import load_yaml_mapping

from .mutation import damaged
from .yaml_values import KEYS, odd_value

EXPECTED = (ConfigError,)
"""What the readers may raise."""


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one file that may be read as any of the YAML files of a task."""
    text = "\n".join(f"{rng.choice(KEYS)}: {odd_value(rng)}" for _ in range(rng.randrange(1, 9)))
    path = folder / "result.yaml"
    path.write_bytes(damaged(text.encode("utf-8"), rng, 0.2))
    return path


def read(path: Path) -> None:
    """Read the file as each of what it may be; go on where one of them refuses it."""
    errors = []
    monitor_place(path)
    for settings in (TrainSettings, MiningSettings):
        errors += _refusal(lambda: read_settings(settings, load_yaml_mapping(path, ConfigError, "")))  # noqa: B023
    errors += _refusal(lambda: read_values(path))
    errors += _refusal(lambda: pack_best_stage(path.parent))
    if errors:
        raise max(errors, key=lambda error: len(str(error).splitlines()))


def _refusal(read_it: Callable[[], object]) -> list[ConfigError]:
    try:
        read_it()
    except EXPECTED as error:
        return [error]
    return []
