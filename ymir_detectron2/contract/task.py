"""env.yaml and config.yaml of every release, read into one `Task`.

    env.yaml:    task_id, protocol_version (>= 1.3), run_training, run_mining, run_infer, input: {...}, output: {...}
    config.yaml: class_names: [cat, dog], gpu_id: '0', ... and the hyper-parameters of the form
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import yaml

from ..errors import ConfigError, ExecutorError, ObjectTypeError, briefly
from .paths import PathMap

BOX_DETECTION = 2  # the platform's object_type for boxes; 3, 4 and 50 want masks or text


@dataclass(frozen=True)
class Task:
    """One run as the platform describes it; every path is real."""

    task_id: str
    writes_stages: bool
    """The platform understands `model_stages` and `boxes`: it does when env.yaml has a `protocol_version`."""
    run_training: bool
    run_mining: bool
    run_infer: bool
    train_index: Path | None
    val_index: Path | None
    candidate_index: Path | None
    input_models_dir: Path
    output_dir: Path
    models_dir: Path
    tensorboard_dir: Path
    training_result: Path
    mining_result: Path
    infer_result: Path
    monitor: Path
    config: Mapping[str, Any]
    """config.yaml as it stands; `settings.read_settings` takes the hyper-parameters out of it."""
    class_names: tuple[str, ...]
    """In the order of the class indexes; empty where config.yaml names none."""
    gpu_ids: tuple[int, ...] | None
    """() is the CPU; None: config.yaml does not say."""
    paths: PathMap


def load_task(env_file: Path) -> Task:
    """Read env.yaml and the config.yaml that it names.

    Raises:
        ConfigError: a file is missing or no YAML mapping, or a value makes no sense.
        ObjectTypeError: the task is not box detection.
    """
    from pydantic import ValidationError  # these two take 0.2 s, which the first line of monitor.txt must not wait for
    from ymir_exc.env import EnvConfig

    raw = load_yaml_mapping(env_file, ConfigError, "start the container with the platform's /in, or give --env FILE")
    sections = {name: raw.get(name) or {} for name in ("input", "output")}
    try:
        env = EnvConfig(**{**raw, **sections, "task_id": str(raw.get("task_id", ""))})
    except (ValidationError, TypeError) as error:
        finding = " ".join(str(error).split())
        raise ConfigError(f"{env_file}: not an environment file of YMIR: {finding}") from error

    paths = PathMap.for_env_file(env_file)
    config_file = paths.resolve(env.input.config_file)
    config = load_yaml_mapping(config_file, ConfigError, "it has to hold the settings of the task as 'key: value'")
    _require_boxes(config_file, config)

    def index(path: str) -> Path | None:
        return paths.resolve(path) if path else None

    return Task(
        task_id=env.task_id,
        writes_stages=raw.get("protocol_version") is not None,
        run_training=env.run_training,
        run_mining=env.run_mining,
        run_infer=env.run_infer,
        train_index=index(env.input.training_index_file),
        val_index=index(env.input.val_index_file),
        candidate_index=index(env.input.candidate_index_file),
        input_models_dir=paths.resolve(env.input.models_dir),
        output_dir=paths.resolve(env.output.root_dir),
        models_dir=paths.resolve(env.output.models_dir),
        tensorboard_dir=paths.resolve(env.output.tensorboard_dir),
        training_result=paths.resolve(env.output.training_result_file),
        mining_result=paths.resolve(env.output.mining_result_file),
        infer_result=paths.resolve(env.output.infer_result_file),
        monitor=paths.resolve(env.output.monitor_file),
        config=config,
        class_names=_class_names(config_file, config),
        gpu_ids=_gpu_ids(config_file, config),
        paths=paths,
    )


def monitor_place(env_file: Path) -> tuple[Path, str]:
    """Where monitor.txt goes and the id of the task, as far as env.yaml can be read: failure has to be told as well."""
    paths = PathMap.for_env_file(env_file)
    try:
        raw = yaml.safe_load(env_file.read_text(encoding="utf-8-sig"))
        output = raw.get("output") or {}
        return paths.resolve(str(output.get("monitor_file") or "/out/monitor.txt")), str(raw.get("task_id") or "-")
    except (OSError, ValueError, yaml.YAMLError, RecursionError, AttributeError):
        return paths.out_dir / "monitor.txt", "-"


def load_yaml_mapping(path: Path, error_class: type[ExecutorError], remedy: str) -> Mapping[str, Any]:
    """Read a YAML file that must hold `key: value` pairs; no tag in it is ever executed."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise error_class(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2020-13-45, or no UTF-8
        finding = " ".join(str(error).split())
        raise error_class(f"{path}: is not YAML ({finding}); {remedy}") from error
    if not isinstance(content, dict):
        raise error_class(f"{path}: expected 'key: value' pairs, found {type(content).__name__}; {remedy}")
    return content


def _require_boxes(config_file: Path, config: Mapping[str, Any]) -> None:
    object_type = config.get("object_type") or BOX_DETECTION
    if object_type not in (BOX_DETECTION, str(BOX_DETECTION)):
        raise ObjectTypeError(
            f"{config_file}: object_type {briefly(object_type)} is not box detection ({BOX_DETECTION});"
            " choose an image for that kind of task"
        )


def _class_names(config_file: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("class_names") or []
    if not isinstance(names, list) or not all(isinstance(name, (str, int, float)) for name in names):
        raise ConfigError(f"{config_file}: class_names must be a list of names, found {briefly(names)}")
    stripped = tuple(str(name).strip() for name in names)
    if not all(stripped):
        raise ConfigError(f"{config_file}: class_names holds an empty name: {briefly(names)}; remove it")
    keys = [class_key(name) for name in stripped]
    for name, key in zip(stripped, keys):
        if keys.count(key) > 1:
            raise ConfigError(f"{config_file}: class_names holds {name!r} twice (case is ignored); remove one of them")
    return stripped


def class_key(name: str) -> str:
    """The form in which the platform compares class names (contract, 3.4)."""
    return name.lower().strip()


def _gpu_ids(config_file: Path, config: Mapping[str, Any]) -> tuple[int, ...] | None:
    value = config.get("gpu_id")
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        ids = tuple(_gpu_number(part) for part in parts if not (isinstance(part, str) and not part.strip()))
    except ValueError:
        ids = (-1,)
    if any(gpu < 0 for gpu in ids) or len(set(ids)) != len(ids):
        raise ConfigError(
            f"{config_file}: gpu_id must be GPU numbers such as '0,1' or '' for the CPU, found {briefly(value)}"
        )
    return ids


def _gpu_number(part: Any) -> int:
    if isinstance(part, bool) or not isinstance(part, (str, int)):
        raise ValueError(f"no GPU number: {briefly(part)}")
    return int(part)
