"""YAML files: what a task and a model package are made of, with anchors, odd scalars, tags and damage."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Callable

from ymir_detectron2.config.config_file import read_values
from ymir_detectron2.config.settings import MiningSettings, TrainSettings, read_settings
from ymir_detectron2.contract.task import monitor_place
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.packed_model import pack_best_stage
from ymir_detectron2.yaml_file import load_yaml_mapping

EXPECTED = (ConfigError,)
"""What the readers may raise."""

_KEYS = (
    "task_id", "args_options", "mining_algorithm", "batch_size", "class_names", "gpu_id", "input", "output",
    "monitor_file", "_BASE_", "MODEL", "SOLVER.STEPS", "model", "model_stages", "best_stage_name", "files", "mAP", "<<",
    "1", "null", "~", "2020-01-01", "? [a]\n", "'a b'",
)  # fmt: skip
_SCALARS = (
    "1", "-1", "0.5", "1e3", ".inf", ".nan", "true", "null", "~", "''", "x", "2020-01-01", "2020-13-45", "0x10", "1:30",
    "1" * 50, "!!int x", "!!float x", "!!bool x", "!!binary x", "!!set {a}", "!!omap [a: 1]", "!!timestamp 1",
    "!!python/tuple [1]", "!x 1", "'\\u0000'", '"\\uD800"', "a.yaml", "/dev/zero", "../a.yaml", "{}", "[]", "é", "|",
)  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one file that may be read as any of the YAML files of a task."""
    text = "\n".join(f"{rng.choice(_KEYS)}: {_value(rng, 0)}" for _ in range(rng.randrange(1, 9)))
    content = text.encode("utf-8")
    while content and rng.random() < 0.2:
        place = rng.randrange(len(content))
        content = content[:place] + bytes([rng.randrange(256)]) * rng.randrange(3) + content[place + 1 :]
    path = folder / "result.yaml"
    path.write_bytes(content)
    return path


def _value(rng: random.Random, depth: int) -> str:
    anchor = rng.choice(("", "", "", f"&{rng.choice('abc')} "))
    kind = rng.randrange(4) if depth < 4 else 3
    if kind == 0:
        return anchor + f"[{', '.join(_value(rng, depth + 1) for _ in range(rng.randrange(4)))}]"
    if kind == 1:
        pairs = (f"{rng.choice(_KEYS)}: {_value(rng, depth + 1)}" for _ in range(rng.randrange(4)))
        return anchor + f"{{{', '.join(pairs)}}}"
    return f"*{rng.choice('abc')}" if kind == 2 and rng.random() < 0.5 else anchor + rng.choice(_SCALARS)


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
