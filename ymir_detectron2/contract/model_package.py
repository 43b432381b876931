"""The trained model that a task starts from: weights, their config.yaml, and the class names they were trained for.

    YMIR 1.1, 1.2:    /in/models/<file>                     listed in pretrained_model_params or model_params_path
    YMIR >= 1.3:      /in/models/<stage>/<file>             likewise
    all versions:     /in/models/ymir-info.yaml             executor_config.class_names, best_stage_name
    the verifier:     all files of /out/models in /in/models, result.yaml among them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..errors import ConfigError, ModelError, briefly
from ..untrusted_files import is_file, is_path
from ..yaml_file import load_yaml_mapping
from .task import Task

WEIGHT_SUFFIXES = (".pth", ".pkl")
CONFIG_SUFFIXES = (".yaml", ".yml")
STATISTICS_NAME = "training-statistics.json"
"""What mining may know of the training: `evaluation/training_statistics.py`. Older models and those of others have
none."""
_NOT_CONFIGS = ("ymir-info.yaml", "result.yaml")
_MOST_NAMED = 10  # files in one sentence
_DAMAGED = "the model package is damaged; export or train it again"


@dataclass(frozen=True)
class ModelPackage:
    """The files of one trained model."""

    weights: Path
    config: Path | None
    """detectron2 configuration that belongs to the weights; None where only weights were given."""
    class_names: tuple[str, ...] | None
    """From ymir-info.yaml. Class names in the checkpoint itself take precedence."""
    source: str
    """The config.yaml key that names the model, for the log."""
    statistics: Path | None = None
    """STATISTICS_NAME of the training; None where there is none."""


def find_model_package(task: Task, key: str) -> ModelPackage | None:
    """Return the model that `key` of config.yaml names, or None where the key is absent or empty.

    Args:
        task: the task whose config.yaml holds the key.
        key: "pretrained_model_params" (training) or "model_params_path" (mining, inference).

    Raises:
        ConfigError: the key does not hold a list of paths.
        ModelError: files are named, but none of them is a weight file, or several are and nothing says which is best.
    """
    value = task.config.get(key) or []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(map(is_path, names)):
        raise ConfigError(f"config.yaml: {key} must be a list of paths, found {briefly(value)}; choose the model again")
    paths = [task.paths.resolve(name) for name in names]
    return model_package(paths, task.input_models_dir, key) if paths else None


def model_package(files: Sequence[Path], models_dir: Path, source: str) -> ModelPackage:
    """Return the model that consists of these files; what else they may be, such as an ONNX model, is not used.

    Args:
        files: at least one; of several weight files that of the best stage is taken.
        models_dir: the folder that may hold ymir-info.yaml or result.yaml.
        source: who names the files, for the log and errors.

    Raises:
        ModelError: none is a weight file, or several are and nothing says which is best.
    """
    weights = _choose_weights(files, source, models_dir)
    # our own stages always have a config.yaml next to the weights; other names only count when the task lists them
    configs = [weights.with_name("config.yaml"), *(path for path in files if path.suffix in CONFIG_SUFFIXES)]
    statistics = [weights.with_name(STATISTICS_NAME), *(path for path in files if path.name == STATISTICS_NAME)]
    return ModelPackage(
        weights=weights,
        config=next((path for path in configs if is_file(path) and path.name not in _NOT_CONFIGS), None),
        class_names=_trained_class_names(models_dir / "ymir-info.yaml"),
        source=source,
        statistics=next(filter(is_file, statistics), None),
    )


def _trained_class_names(info_file: Path) -> tuple[str, ...] | None:
    config = _read_if_there(info_file).get("executor_config") or {}
    names = config.get("class_names") or [] if isinstance(config, dict) else config
    if not isinstance(names, list):
        raise ModelError(f"{info_file}: executor_config tells no class_names; {_DAMAGED}")
    # str: YAML reads a class called 7 or no as a number or a boolean
    return tuple(str(name) for name in names) or None


def _choose_weights(paths: Sequence[Path], key: str, models_dir: Path) -> Path:
    # the platform passes the files of one stage, the verifier those of all stages
    candidates = sorted(path for path in paths if path.suffix in WEIGHT_SUFFIXES and is_file(path))
    if not candidates:
        named = _listed(paths)
        raise ModelError(f"{key}: no .pth or .pkl file among {named}; choose a model that this image trained")
    if len(candidates) == 1:
        return candidates[0]
    best_name = _best_stage_name([models_dir, *{path.parent for path in candidates}])
    for path in candidates:
        # flat files bear the name of their stage; in stage folders the folder does
        if best_name and best_name in (path.stem, path.parent.name):
            return path
    named = _listed(candidates)
    raise ModelError(f"{key}: which of {named} is meant? No result.yaml or ymir-info.yaml says; list one of them")


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    return ", ".join(map(str, paths[:_MOST_NAMED])) + more


def _best_stage_name(folders: list[Path]) -> str | None:
    """Return the best stage of the training run. File times are no help: unpacking resets them."""
    for folder in folders:
        for name in ("ymir-info.yaml", "result.yaml"):
            content = _read_if_there(folder / name)
            if content.get("best_stage_name"):
                return str(content["best_stage_name"])
            # result.yaml for YMIR 1.1 lists the files of the best stage and nothing else
            files = content.get("model") or []
            if not isinstance(files, list):
                raise ModelError(f"{folder / name}: model must be a list of files, found {briefly(files)}; {_DAMAGED}")
            for file in files:
                if Path(str(file)).suffix in WEIGHT_SUFFIXES:
                    return Path(str(file)).stem
    return None


def _read_if_there(path: Path) -> Mapping[str, Any]:
    if not is_file(path):
        return {}
    return load_yaml_mapping(path, ModelError, _DAMAGED)
