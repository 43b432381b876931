"""Model packages between two tasks, as the platform handles them: one stage of result.yaml goes to /in/models.

/out/models/result.yaml    best_stage_name: s2
                           model_stages: {s2: {stage_name: s2, files: [s2.pth, s2.yaml], timestamp: 1, mAP: 0.5}}
/in/models/ymir-info.yaml  executor_config: {class_names: [...]}, stages: {...}, best_stage_name: s2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence, Union

import yaml

from ..contract.task import read_class_names
from ..errors import ConfigError, briefly
from ..untrusted_files import is_file, path_below
from ..yaml_file import load_yaml_mapping
from .assets import place_file
from .releases import Release

ModelSource = Union[Path, Sequence[Path]]
"""A training's /out/models with its result.yaml, or the files of one stage."""

_REMEDY = "give a finished training's /out/models"
LEGACY_STAGE = "default_best_stage"
"""Name that the platform gives to the stage of a result.yaml with `model` and `map`."""


@dataclass(frozen=True)
class PackedStage:
    """The stage of a model package that a task gets."""

    name: str
    files: tuple[tuple[str, Path], ...]
    """Name in the stage folder, and the file."""
    m_ap: float
    timestamp: int
    executor_config: dict[str, Any]
    """config.yaml of the training task; empty if it is not known."""
    folder: Path
    """Holds the files."""

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of the training; empty if they are not known."""
        return list(read_class_names(self.folder, self.executor_config))


def pack_best_stage(source: ModelSource) -> PackedStage:
    """Return the best stage of a finished training, or a stage made of single files.

    The settings of the training are read from ../../in/config.yaml, seen from /out/models.

    Raises:
        ConfigError: if there is no result.yaml, or a file that it lists is missing.
    """
    if not isinstance(source, Path) or not source.is_dir():
        given = [source] if isinstance(source, Path) else source
        for file in given:
            if not file.is_file():
                raise ConfigError(
                    f"{file}: no such model file; give a training's /out/models or the files of one stage"
                )
        if not given:
            raise ConfigError("no model files were given; give a training's /out/models or the files of one stage")
        pairs = tuple((file.name, file) for file in given)
        return PackedStage(LEGACY_STAGE, pairs, 0.0, 0, _load_training_config(given[0].parent), given[0].parent)
    name, entry = _best_entry(source / "result.yaml")
    files = []
    for listed in entry["files"]:
        # in the order of the platform: the folder of the stage, then /out/models
        places = (path_below(source, f"{name}/{listed}"), path_below(source, listed))
        path = next((path for path in places if path is not None and is_file(path)), None)
        if path is None:
            raise ConfigError(
                f"{source}: result.yaml lists {briefly(listed)}, which is not there; finish the training first"
            )
        files.append((listed, path))
    m_ap, timestamp = (_number(source / "result.yaml", key, entry.get(key) or 0) for key in ("mAP", "timestamp"))
    return PackedStage(name, tuple(files), float(m_ap), int(timestamp), _load_training_config(source), source)


def training_class_names(source: ModelSource | None) -> list[str]:
    """Return the class names that a model was trained for; empty without a model, or if they are not known."""
    return pack_best_stage(source).class_names if source else []


def unpack_stage(stage: PackedStage, models_dir: Path, release: Release, class_names: Sequence[str]) -> list[str]:
    """Put the files of a stage and ymir-info.yaml into `models_dir`; return the container paths of the files.

    `class_names` are used where those of the training are not known.
    """
    prefix = f"{stage.name}/" if release.staged_models else ""
    # only the files that result.yaml lists for this stage: what else is in /out/models never reaches another task
    for name, file in stage.files:
        place_file(file, models_dir / f"{prefix}{name}", stage.folder)
    models_dir.mkdir(parents=True, exist_ok=True)
    info = package_info(stage, release, class_names)
    (models_dir / "ymir-info.yaml").write_text(yaml.safe_dump(info), encoding="utf-8")
    return [f"/in/models/{prefix}{name}" for name, _ in stage.files]


def package_info(stage: PackedStage, release: Release, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the content of ymir-info.yaml in a package with one stage.

    `class_names` are used where those of the training are not known.
    """
    names = [name for name, _ in stage.files]
    info: dict[str, Any] = {
        # the only place where a later training finds the classes of its pretrained model
        "executor_config": stage.executor_config or {"class_names": list(class_names)},
        "task_context": {"mAP": stage.m_ap, "type": 1},
    }
    if release.format_names_as_extensions:  # 1.1, which has no stages
        info["models"] = names
    else:
        entry = {"stage_name": stage.name, "files": names, "mAP": stage.m_ap, "timestamp": stage.timestamp}
        info.update(best_stage_name=stage.name, stages={stage.name: entry}, object_type=2, package_version="2.0.0")
        info.update(attachments={}, evaluate_config={}, model_hash="", stage_name=stage.name)
    return info


def _best_entry(result_file: Path) -> tuple[str, Mapping[str, Any]]:
    result = _load_mapping(result_file)
    stages: Any
    if "model" in result:  # the platform looks for this key first: it hides model_stages
        best, stages = LEGACY_STAGE, {LEGACY_STAGE: {"files": result["model"], "mAP": result.get("map", 0)}}
    else:
        best, stages = str(result.get("best_stage_name")), result.get("model_stages")
    entry = stages.get(best) if isinstance(stages, dict) else None
    files = entry.get("files") if isinstance(entry, dict) else None
    if not entry or not files or not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise ConfigError(f"{result_file}: names no best stage with files; finish a training first")
    if path_below(result_file.parent, best) is None:  # the stage becomes a folder of the task
        raise ConfigError(f"{result_file}: {briefly(best)} is not the name of a stage; {_REMEDY}")
    return best, entry


def _number(result_file: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**63:  # NaN is neither
        raise ConfigError(f"{result_file}: {key} of the best stage is {briefly(value)}, expected a number; {_REMEDY}")
    return value


def _load_mapping(file: Path) -> dict[str, Any]:
    return load_yaml_mapping(file, ConfigError, _REMEDY)


def _load_training_config(models_dir: Path) -> dict[str, Any]:
    config_file = models_dir.resolve().parent.parent / "in" / "config.yaml"
    if not is_file(config_file):
        return {}
    config = _load_mapping(config_file)
    read_class_names(config_file, config)  # those that cannot be read are not passed on either
    return config
