"""What the platform does with a model between two tasks: read result.yaml, take one stage, unpack it into /in/models.

/out/models/result.yaml    best_stage_name: s2
                           model_stages: {s2: {stage_name: s2, files: [s2.pth, s2.yaml], timestamp: 1, mAP: 0.5}}
/in/models/ymir-info.yaml  executor_config: {class_names: [...]}, stages: {...}, best_stage_name: s2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence, Union

import yaml

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.assets import place_file
from ymir_detectron2.tools.releases import Release

ModelSource = Union[Path, Sequence[Path]]
"""A training's /out/models folder with its result.yaml, or the files of one stage."""

LEGACY_STAGE = "default_best_stage"
"""The stage that the platform makes of a result.yaml with `model` and `map`."""


@dataclass(frozen=True)
class PackedStage:
    """The one stage of a model package that a task gets."""

    name: str
    files: tuple[tuple[str, Path], ...]
    """Name below the stage folder, and the file itself."""
    m_ap: float
    timestamp: int
    executor_config: dict[str, Any]
    """The training task's config.yaml, as far as it is known."""

    @property
    def class_names(self) -> list[str]:
        """Class names of the training, in its order; empty if it is not known."""
        return [str(name) for name in self.executor_config.get("class_names") or []]


def pack_best_stage(source: ModelSource) -> PackedStage:
    """Choose the best stage of a finished training, or make one of single files.

    The training's own settings are read from ../../in/config.yaml, beside which the platform keeps a model.

    Raises:
        ConfigError: if there is no result.yaml, or a file that it lists is missing.
    """
    if not isinstance(source, Path):
        return _stage_of_files(source)
    if not source.is_dir():
        return _stage_of_files([source])
    name, entry = _best_entry(source / "result.yaml")
    files = tuple((str(file), _find_file(source, name, str(file))) for file in entry["files"])
    return PackedStage(
        name, files, float(entry.get("mAP", 0)), int(entry.get("timestamp", 0)), _load_training_config(source)
    )


def unpack_stage(stage: PackedStage, models_dir: Path, release: Release, class_names: Sequence[str]) -> list[str]:
    """Put a stage's files and ymir-info.yaml into `models_dir`; return the files' container paths.

    `class_names` stand in for the training's own where those are not known.
    """
    prefix = f"{stage.name}/" if release.staged_models else ""
    for name, file in stage.files:
        place_file(file, models_dir / f"{prefix}{name}")
    models_dir.mkdir(parents=True, exist_ok=True)
    info = _ymir_info(stage, release, class_names)
    (models_dir / "ymir-info.yaml").write_text(yaml.safe_dump(info), encoding="utf-8")
    return [f"/in/models/{prefix}{name}" for name, _ in stage.files]


def _stage_of_files(files: Sequence[Path]) -> PackedStage:
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{file}: no such model file; give a training's /out/models or the files of one stage")
    if not files:
        raise ConfigError("no model files were given; give a training's /out/models or the files of one stage")
    pairs = tuple((file.name, file) for file in files)
    return PackedStage(LEGACY_STAGE, pairs, 0.0, 0, _load_training_config(files[0].parent))


def _best_entry(result_file: Path) -> tuple[str, Mapping[str, Any]]:
    result = _load_mapping(result_file)
    if "model" in result:  # the platform looks for this key first: it hides model_stages
        return LEGACY_STAGE, {"files": result["model"], "mAP": result.get("map", 0)}
    stages, best = result.get("model_stages"), result.get("best_stage_name")
    if not isinstance(stages, dict) or best not in stages or not stages[best].get("files"):
        raise ConfigError(f"{result_file}: names no best stage with files; finish a training first")
    return str(best), stages[best]


def _load_mapping(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read ({exc.strerror}); give a finished training's /out/models") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{file}: is no YAML; give a finished training's /out/models") from exc
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected a YAML mapping, found {type(content).__name__}")
    return content


def _find_file(models_dir: Path, stage: str, name: str) -> Path:
    for file in (models_dir / stage / name, models_dir / name):
        if file.is_file():
            return file
    raise ConfigError(f"{models_dir}: result.yaml lists {name!r}, which is not there; finish the training first")


def _load_training_config(models_dir: Path) -> dict[str, Any]:
    config_file = models_dir.resolve().parent.parent / "in" / "config.yaml"
    return _load_mapping(config_file) if config_file.is_file() else {}


def _ymir_info(stage: PackedStage, release: Release, class_names: Sequence[str]) -> dict[str, Any]:
    names = [name for name, _ in stage.files]
    info: dict[str, Any] = {
        "executor_config": stage.executor_config or {"class_names": list(class_names)},
        "task_context": {"mAP": stage.m_ap, "type": 1},
    }
    if release.format_names_as_extensions:
        info["models"] = names
        return info
    entry = {"stage_name": stage.name, "files": names, "mAP": stage.m_ap, "timestamp": stage.timestamp}
    info.update(best_stage_name=stage.name, stages={stage.name: entry}, object_type=2, package_version="2.0.0")
    info.update(attachments={}, evaluate_config={}, model_hash="", stage_name=stage.name)
    return info


def training_class_names(source: ModelSource | None) -> list[str]:
    """Class names that a model was trained with, empty if it has none to tell."""
    return pack_best_stage(source).class_names if source else []
