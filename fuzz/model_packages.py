"""Model packages: the result.yaml of a training, and the files and ymir-info.yaml that a task finds in /in/models."""

from __future__ import annotations

import random
from pathlib import Path

from ymir_detectron2.contract.model_package import find_model_package
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.tools.model_argument import training_class_names
from ymir_detectron2.tools.packed_model import pack_best_stage, package_info, unpack_stage
from ymir_detectron2.tools.releases import find_release

from .mutation import damaged, oddity_of_input
from .yaml_values import document, mapping, value

EXPECTED = (ConfigError, ModelError)
"""What the readers may raise."""

_FILES = ("[s1.pth, config.yaml]", "[s2.pth]")
_STAGE = {"stage_name": ("s1",), "files": _FILES, "mAP": ("0.5", "1"), "timestamp": ("1700000000",)}
_ENV = "input: {config_file: /in/config.yaml, models_dir: /in/models}\n"


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write the package of a training and a task that uses it; return the env.yaml of the task."""
    oddity = oddity_of_input(rng)
    models = folder / "in" / "models"
    (models / "s1").mkdir(parents=True)
    for name in ("s1.pth", "s2.pth", "s1/s1.pth", "config.yaml"):
        (models / name).write_bytes(b"x: 1\n")
    result = {
        "best_stage_name": ("s1", "s2"),
        "model_stages": [mapping(rng, {name: [mapping(rng, _STAGE, oddity)] for name in ("s1", "s2")}, oddity)],
    }
    if rng.random() < 0.3:
        result = {"model": _FILES, "map": ("0.5",), **result}
    info = {
        "executor_config": [mapping(rng, {"class_names": ("[cat, dog]", "[7, no]")}, oddity)], "stages": ("{}",),
        "best_stage_name": ("s1", "s2", "''"), "model": _FILES,
    }  # fmt: skip
    named = ("[/in/models/s1.pth, /in/models/config.yaml]", "[/in/models/s1.pth, /in/models/s2.pth]")
    classes = value(rng, ("[cat, dog]",), oddity)
    files = {
        "models/result.yaml": document(rng, result, oddity),
        "models/ymir-info.yaml": document(rng, info, oddity),
        "config.yaml": f"class_names: {classes}\nmodel_params_path: {value(rng, named, oddity)}\n",
    }
    for name, text in files.items():
        if rng.random() < 0.9:
            (folder / "in" / name).write_bytes(damaged(text.encode("utf-8"), rng, oddity / 2))
    (folder / "in" / "env.yaml").write_text(_ENV, encoding="utf-8")
    return folder / "in" / "env.yaml"


def read(path: Path) -> None:
    """Use the package as a task does, and as make_task does, which passes it on; raise the last error of both."""
    error: Exception | None = None
    try:
        find_model_package(load_task(path), "model_params_path")
    except EXPECTED as refusal:
        error = refusal
    models = path.parent / "models"
    for release in ("1.1.0", "2.5.0"):
        stage = pack_best_stage(models)
        package_info([stage], find_release(release), training_class_names(models))
        unpack_stage(stage, path.parent.parent / release / "models", find_release(release), ["cat"])
    if error is not None:
        raise error
