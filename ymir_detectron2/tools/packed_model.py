"""Model packages between two tasks, as the platform handles them: one stage of result.yaml goes to /in/models.

What a person names as a model, a run or a tar for example, is found by `model_argument.open_model`.

/out/models/result.yaml    best_stage_name: s2
                           model_stages: {s2: {stage_name: s2, files: [s2.pth, s2.yaml], timestamp: 1, mAP: 0.5}}
/in/models/ymir-info.yaml  executor_config: {class_names: [...]}, stages: {...}, best_stage_name: s2
"""

from __future__ import annotations

from dataclasses import dataclass, field
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

_RATES, _COUNTS = ("mAR", "boxAP"), ("tp", "fp", "fn")
"""What the platform knows of a stage besides mAP; of the recommended one its page shows recall, FN and FP."""
RESULT_FILE, INFO_FILE = "result.yaml", "ymir-info.yaml"
"""What lists the stages: of a training, and of a package that the platform has made of it."""
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
    figures: Mapping[str, float] = field(default_factory=dict)
    """mAR, boxAP, tp, fp, fn, as far as they are known."""

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
    if isinstance(source, Path) and source.is_dir():
        return pack_stage(source / RESULT_FILE)
    given = [source] if isinstance(source, Path) else source
    for file in given:
        if not file.is_file():
            raise ConfigError(f"{file}: no such model file; give a training's /out/models or the files of one stage")
    if not given:
        raise ConfigError("no model files were given; give a training's /out/models or the files of one stage")
    pairs = tuple((file.name, file) for file in given)
    return PackedStage(LEGACY_STAGE, pairs, 0.0, 0, _load_training_config(given[0].parent), given[0].parent)


def pack_stage(list_file: Path, stage_name: str = "") -> PackedStage:
    """Return a stage that result.yaml or ymir-info.yaml lists, with its files in the folder of that list.

    Args:
        stage_name: '' is the best one.

    Raises:
        ConfigError: it is not listed, or a file that is listed for it is missing.
    """
    listed = read_listed_stage(list_file, stage_name)
    folder, files = list_file.parent, []
    for file in listed.files:
        places = (path_below(folder, name) for name in listed.places(file))
        path = next((path for path in places if path is not None and is_file(path)), None)
        if path is None:
            raise ConfigError(
                f"{folder}: {list_file.name} lists {briefly(file)}, which is not there; {_remedy(list_file)}"
            )
        files.append((file, path))
    settings = _load_training_config(folder) if listed.executor_config is None else listed.executor_config
    return PackedStage(listed.name, tuple(files), listed.m_ap, listed.timestamp, settings, folder, listed.figures)


def pack_stages(list_file: Path) -> tuple[PackedStage, ...]:
    """Return all stages that result.yaml or ymir-info.yaml lists: the best one, then the others from the latest on.

    Raises:
        ConfigError: none is listed, or a file that is listed is missing.
    """
    best = pack_stage(list_file)
    content = _load_mapping(list_file)
    stages = content.get(_stages_key(list_file)) if best.name != LEGACY_STAGE else {}
    names = [str(name) for name in stages] if isinstance(stages, dict) else []
    return (best, *(pack_stage(list_file, name) for name in reversed(names) if name != best.name))


@dataclass(frozen=True)
class ListedStage:
    """An entry of result.yaml or ymir-info.yaml, whether or not its files are there."""

    name: str
    files: tuple[str, ...]
    m_ap: float
    timestamp: int
    executor_config: dict[str, Any] | None
    """config.yaml of the training task, which only ymir-info.yaml has; None in result.yaml."""
    figures: Mapping[str, float]

    def places(self, file: str) -> tuple[str, str]:
        """Return where a file of it may be, below the folder of the list, in the order of the platform."""
        return f"{self.name}/{file}", file


def read_listed_stage(list_file: Path, stage_name: str = "") -> ListedStage:
    """Read the entry of a stage; '' is the best one.

    Raises:
        ConfigError: the list cannot be read, or has no such stage with files.
    """
    content = _load_mapping(list_file)
    name, entry = _find_entry(list_file, content, stage_name)
    m_ap, timestamp = (_number(list_file, key, entry.get(key) or 0) for key in ("mAP", "timestamp"))
    config = None
    if list_file.name == INFO_FILE:
        given = content.get("executor_config")
        config = given if isinstance(given, dict) else {}
        read_class_names(list_file, config)  # those that cannot be read are not passed on either
    return ListedStage(name, tuple(entry["files"]), float(m_ap), int(timestamp), config, _figures(entry))


def _figures(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return those that the platform accepts: one that it does not would cost the whole package."""
    rates = {key: entry[key] for key in _RATES if type(entry.get(key)) in (int, float) and 0 <= entry[key] <= 1}
    return {**rates, **{key: entry[key] for key in _COUNTS if type(entry.get(key)) is int and 0 <= entry[key] < 2**31}}


def unpack_stage(stage: PackedStage, models_dir: Path, release: Release, class_names: Sequence[str]) -> list[str]:
    """Put the files of a stage and ymir-info.yaml into `models_dir`; return the container paths of the files.

    `class_names` are used where those of the training are not known.
    """
    prefix = f"{stage.name}/" if release.staged_models else ""
    # only the files that result.yaml lists for this stage: what else is in /out/models never reaches another task
    for name, file in stage.files:
        place_file(file, models_dir / f"{prefix}{name}", stage.folder)
    models_dir.mkdir(parents=True, exist_ok=True)
    info = package_info([stage], release, class_names)
    (models_dir / "ymir-info.yaml").write_text(yaml.safe_dump(info), encoding="utf-8")
    return [f"/in/models/{prefix}{name}" for name, _ in stage.files]


def package_info(stages: Sequence[PackedStage], release: Release, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the content of ymir-info.yaml in a package with these stages, the best one first.

    `class_names` are used where those of the training are not known.
    """
    best = stages[0]
    info: dict[str, Any] = {
        # the only place where a later training finds the classes of its pretrained model
        "executor_config": best.executor_config or {"class_names": list(class_names)},
        "task_context": {"mAP": best.m_ap, "type": 1},
    }
    if release.format_names_as_extensions:  # 1.1, which has no stages
        info["models"] = [name for name, _ in best.files]
    else:
        entries = {stage.name: _stage_entry(stage) for stage in stages}
        info.update(best_stage_name=best.name, stages=entries, object_type=2, package_version="2.0.0")
        info.update(attachments={}, evaluate_config={}, model_hash="", stage_name=best.name)
    return info


def _stage_entry(stage: PackedStage) -> dict[str, Any]:
    names = [name for name, _ in stage.files]
    entry = {"stage_name": stage.name, "files": names, "mAP": stage.m_ap, "timestamp": stage.timestamp}
    return {**entry, **stage.figures}


def _stages_key(list_file: Path) -> str:
    return "model_stages" if list_file.name == RESULT_FILE else "stages"


def _remedy(list_file: Path) -> str:
    return "finish the training first" if list_file.name == RESULT_FILE else "export the package again"


def _find_entry(list_file: Path, content: Mapping[str, Any], stage_name: str) -> tuple[str, Mapping[str, Any]]:
    flat_key = "model" if list_file.name == RESULT_FILE else "models"
    name, stages = stage_name or str(content.get("best_stage_name")), content.get(_stages_key(list_file))
    if flat_key in content and not stage_name:  # the platform looks for this key first: it hides the stages
        name, stages = LEGACY_STAGE, {LEGACY_STAGE: {"files": content[flat_key], "mAP": content.get("map", 0)}}
    entry = stages.get(name) if isinstance(stages, dict) else None
    files = entry.get("files") if isinstance(entry, dict) else None
    if not entry or not files or not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        wanted = f"no stage {briefly(stage_name)}" if stage_name else "no best stage"
        raise ConfigError(f"{list_file}: names {wanted} with files; {_remedy(list_file)}")
    if path_below(list_file.parent, name) is None:  # the stage becomes a folder of the task
        raise ConfigError(f"{list_file}: {briefly(name)} is not the name of a stage; {_REMEDY}")
    return name, entry


def _number(list_file: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**63:  # NaN is neither
        raise ConfigError(f"{list_file}: {key} of the best stage is {briefly(value)}, expected a number; {_REMEDY}")
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
