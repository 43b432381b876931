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

from ..errors import ConfigError
from ..yaml_file import load_yaml_mapping
from .assets import place_file
from .releases import Release

ModelSource = Union[Path, Sequence[Path]]
"""A training's /out/models with its result.yaml, or the files of one stage."""

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

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of the training; empty if they are not known."""
        return [str(name) for name in self.executor_config.get("class_names") or []]


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
        return PackedStage(LEGACY_STAGE, pairs, 0.0, 0, _load_training_config(given[0].parent))
    name, entry = _best_entry(source / "result.yaml")
    files = []
    for listed in map(str, entry["files"]):
        # in the order of the platform: the folder of the stage, then /out/models
        path = next((path for path in (source / name / listed, source / listed) if path.is_file()), None)
        if path is None:
            raise ConfigError(f"{source}: result.yaml lists {listed!r}, which is not there; finish the training first")
        files.append((listed, path))
    return PackedStage(
        name, tuple(files), float(entry.get("mAP", 0)), int(entry.get("timestamp", 0)), _load_training_config(source)
    )


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
        place_file(file, models_dir / f"{prefix}{name}")
    models_dir.mkdir(parents=True, exist_ok=True)
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
    (models_dir / "ymir-info.yaml").write_text(yaml.safe_dump(info), encoding="utf-8")
    return [f"/in/models/{prefix}{name}" for name in names]


def _best_entry(result_file: Path) -> tuple[str, Mapping[str, Any]]:
    result = _load_mapping(result_file)
    if "model" in result:  # the platform looks for this key first: it hides model_stages
        return LEGACY_STAGE, {"files": result["model"], "mAP": result.get("map", 0)}
    stages, best = result.get("model_stages"), result.get("best_stage_name")
    if not isinstance(stages, dict) or best not in stages or not stages[best].get("files"):
        raise ConfigError(f"{result_file}: names no best stage with files; finish a training first")
    return str(best), stages[best]


def _load_mapping(file: Path) -> dict[str, Any]:
    return load_yaml_mapping(file, ConfigError, "give a finished training's /out/models")


def _load_training_config(models_dir: Path) -> dict[str, Any]:
    config_file = models_dir.resolve().parent.parent / "in" / "config.yaml"
    return _load_mapping(config_file) if config_file.is_file() else {}
