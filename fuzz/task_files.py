"""env.yaml and config.yaml: those of a task, in which keys, values and paths are odd."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Sequence

from ymir_detectron2.config.read_settings import ALL_SETTINGS, read_settings, require_implemented
from ymir_detectron2.config.setting import effects_of
from ymir_detectron2.config.unknown_keys import unknown_keys
from ymir_detectron2.contract.task import monitor_place, read_args_options
from ymir_detectron2.entrypoint import read_task
from ymir_detectron2.errors import ConfigError, ExecutorError, ObjectTypeError
from ymir_detectron2.launch import plan

from .mutation import damaged, oddity_of_input
from .yaml_values import document, mapping

EXPECTED = (ConfigError, ObjectTypeError)
"""What the readers may raise."""

_ENV = {
    "task_id": ("t1", "7"), "protocol_version": ("1.0.0", "1.3.0"), "run_training": ("true", "false"),
    "run_mining": ("false",), "run_infer": ("false", "true"),
}  # fmt: skip
_INPUT = {
    "root_dir": ("/in",), "assets_dir": ("/in/assets",), "annotations_dir": ("/in/annotations",),
    "models_dir": ("/in/models",), "config_file": ("/in/config.yaml", "config.yaml"),
    "training_index_file": ("/in/train-index.tsv", "''"), "val_index_file": ("/in/val-index.tsv",),
    "candidate_index_file": ("''",),
}  # fmt: skip
_OUTPUT = {
    "root_dir": ("/out",), "models_dir": ("/out/models",), "monitor_file": ("/out/monitor.txt", "/out/./m"),
    "training_result_file": ("/out/models/result.yaml",), "infer_result_file": ("/out/infer-result.json",),
}  # fmt: skip
_CONFIG: dict[str, Sequence[str]] = {
    "class_names": ("[cat, dog]", "[7, no]", "[]"), "gpu_id": ("''", "'0'", "0", "[0, 1]"), "object_type": ("2",),
    "args_options": ("''", "SOLVER.STEPS (1,2)", "--num-gpus 2", "--dist-url tcp://a:1", "'\"'", "--resume",
                     "'@options.txt'", "'@/dev/zero'", "'@'"),
    "git_url": ("''",), "task_id": ("t1",),
    **{
        field.name: (str(field.default) or "''", "''", *effects_of(field).choices)
        for settings in ALL_SETTINGS for field in dataclasses.fields(settings) if field.name != "args_options"
    },
}  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write both files as the platform does, with an oddity of their own each; return env.yaml."""
    oddity = oddity_of_input(rng)
    sections = {"input": [mapping(rng, _INPUT, oddity)], "output": [mapping(rng, _OUTPUT, oddity)]}
    env_file = folder / "in" / "env.yaml"
    env_file.parent.mkdir()
    env_file.write_bytes(damaged(document(rng, {**_ENV, **sections}, oddity).encode("utf-8"), rng, oddity))
    few = {key: _CONFIG[key] for key in rng.sample(sorted(_CONFIG), rng.randrange(12))}  # reading YAML takes the time
    config = document(rng, {**few, "class_names": _CONFIG["class_names"]}, oddity_of_input(rng))
    (env_file.parent / "config.yaml").write_bytes(damaged(config.encode("utf-8"), rng, oddity))
    options = damaged(rng.choice(_CONFIG["args_options"]).encode("utf-8"), rng, oddity)
    (env_file.parent / "options.txt").write_bytes(options)
    return env_file


def read(path: Path) -> None:
    """Read the files as start.py does, and then the settings of each kind of task; raise the first error."""
    errors = []
    monitor_place(path)
    read_args_options(path)
    task = read_task(path)
    unknown_keys(task.config)
    try:
        plan(task)
    except EXPECTED as error:
        errors.append(error)
    for settings_class in ALL_SETTINGS:
        try:
            settings = read_settings(settings_class, task.config)
            require_implemented(settings, "torch")
            repr(settings).encode("utf-8")
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise _longest(errors)


def _longest(errors: Sequence[ExecutorError]) -> ExecutorError:
    return max(errors, key=lambda error: len(str(error)))
