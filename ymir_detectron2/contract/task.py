"""env.yaml and config.yaml of every YMIR release, read into one `Task`.

    env.yaml:    task_id, protocol_version (>= 1.3), run_training, run_mining, run_infer, input: {...}, output: {...}
    config.yaml: class_names: [cat, dog], gpu_id: '0', ... and the hyper-parameters of the form
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ..errors import ConfigError, ObjectTypeError, briefly
from ..untrusted_files import is_path
from ..yaml_file import load_yaml, load_yaml_mapping
from .paths import PathMap

BOX_DETECTION = 2  # the platform's object_type; 3 and 4 are segmentation, 50 is multi-modal
LIVE_CODE_KEYS = ("git_url", "git_branch", "code_config")
"""Sent by YMIR 2.0 and later for images that declare live code, and by hand in every release."""


@dataclass(frozen=True)
class Task:
    """One run as the platform describes it; every path is real."""

    task_id: str
    writes_stages: bool
    """The platform reads `model_stages` and `boxes`: since 1.3, the first release that writes `protocol_version`."""
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
    """config.yaml unchanged; `read_settings` of config/ reads the hyper-parameters from it."""
    class_names: tuple[str, ...]
    """In the order of the class ids; empty where config.yaml names none."""
    gpu_ids: tuple[int, ...] | None
    """(): the CPU; None: config.yaml does not specify it, as for direct inference before YMIR 2.5."""
    paths: PathMap


def load_task(env_file: Path) -> Task:
    """Read env.yaml and the config.yaml that it names.

    Raises:
        ConfigError: a file is missing or not a YAML mapping, a value makes no sense, or other code is asked for.
        ObjectTypeError: the task is not box detection.
    """
    # imported here: they take 0.2 s, and the first line of monitor.txt must not wait for them
    from pydantic import ValidationError
    from ymir_exc.env import EnvConfig

    raw = load_yaml_mapping(env_file, ConfigError, "start the container with the platform's /in, or give --env FILE")
    # EnvConfig has defaults for what is missing, but YAML reads an empty section as None, and an id of digits as int
    sections = {name: raw.get(name) or {} for name in ("input", "output")}
    try:
        env = EnvConfig(**{**raw, **sections, "task_id": str(raw.get("task_id", ""))})
    except (ValidationError, TypeError) as error:
        finding = " ".join(str(error).split())
        raise ConfigError(f"{env_file}: not an environment file of YMIR: {finding}") from error

    _require_paths(env_file, {**vars(env.input), **vars(env.output)})
    paths = PathMap.for_env_file(env_file)
    config_file = paths.resolve(env.input.config_file)
    config = load_yaml_mapping(config_file, ConfigError, "it has to hold the settings of the task as 'key: value'")
    _refuse_live_code(config_file, config)
    object_type = config.get("object_type") or BOX_DETECTION  # absent before YMIR 2.4
    if object_type not in (BOX_DETECTION, str(BOX_DETECTION)):
        raise ObjectTypeError(
            f"{config_file}: object_type {briefly(object_type)} is not box detection ({BOX_DETECTION});"
            " choose an image for that kind of task"
        )

    def index(path: str) -> Path | None:
        return paths.resolve(path) if path else None  # '' for the sets that the task does not use

    return Task(
        task_id=env.task_id,
        # the only sign of the release in env.yaml: absent up to 1.2
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
        class_names=read_class_names(config_file, config),
        gpu_ids=_gpu_ids(config_file, config),
        paths=paths,
    )


def _require_paths(env_file: Path, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value and not is_path(value):
            raise ConfigError(f"{env_file}: {key}: {briefly(value)} cannot be a path; correct it")


def monitor_place(env_file: Path) -> tuple[Path, str]:
    """Return the path of monitor.txt and the task id; defaults where env.yaml cannot be read: that is reported too."""
    paths = PathMap.for_env_file(env_file)
    try:
        raw = load_yaml(env_file)
        monitor_file = str((raw.get("output") or {}).get("monitor_file") or "/out/monitor.txt")
        monitor = paths.resolve(monitor_file) if is_path(monitor_file) else paths.out_dir / "monitor.txt"
        return monitor, str(raw.get("task_id") or "-")
    except (OSError, ValueError, AttributeError):  # ValueError: not YAML; AttributeError: not a mapping
        return paths.out_dir / "monitor.txt", "-"


def _refuse_live_code(config_file: Path, config: Mapping[str, Any]) -> None:
    """Refuse a repository whose code should run in place of ours.

    Cloning it would be up to the image. This one declares no live code (no code-access.yaml, enable_livecode is false),
    so that the form never asks for it: a stranger's code would run with the images of the task and with the network.
    """
    given = [key for key in LIVE_CODE_KEYS if str(config.get(key) or "").strip()]
    if given:  # without the value, which may hold a password
        raise ConfigError(
            f"{config_file}: {', '.join(given)}: this image runs only the code that it was built with; remove the"
            f" {'keys' if len(given) > 1 else 'key'}, or build an image of that code (docker/README.md)"
        )


def read_args_options(env_file: Path) -> str:
    """Return `args_options` of config.yaml without checking anything; '' where a file cannot be read."""
    paths = PathMap.for_env_file(env_file)
    try:
        config_file = (load_yaml(env_file).get("input") or {}).get("config_file") or "/in/config.yaml"
        return str(load_yaml(paths.resolve(str(config_file))).get("args_options") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def read_class_names(config_file: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `class_names` of a config.yaml, in the order of the class ids; () where it names none.

    Raises:
        ConfigError: they are no list of different names.
    """
    names = config.get("class_names") or []
    # numbers: YAML reads a class called 7 as one
    if not isinstance(names, list) or not all(isinstance(name, (str, int, float)) for name in names):
        raise ConfigError(
            f"{config_file}: class_names must be a list of names, found {briefly(names)}; write [cat, dog]"
        )
    stripped = tuple(str(name).strip() for name in names)
    if not all(stripped):
        raise ConfigError(f"{config_file}: class_names holds an empty name: {briefly(names)}; remove it")
    first: dict[str, str] = {}
    for name in stripped:
        if class_key(name) in first:
            twice = briefly(first[class_key(name)])
            raise ConfigError(f"{config_file}: class_names holds {twice} twice (case is ignored); remove one of them")
        first[class_key(name)] = name
    return stripped


def class_key(name: str) -> str:
    """Return the form in which the platform compares class names."""
    return name.lower().strip()


def _gpu_ids(config_file: Path, config: Mapping[str, Any]) -> tuple[int, ...] | None:
    value = config.get("gpu_id")
    if value is None:
        return None
    # the platform writes '0,1', or '' for the CPU; 0 and [0, 1] are what people write by hand
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    items = [item for item in items if not (isinstance(item, str) and not item.strip())]
    try:
        # bool is an int, so that `gpu_id: true` would be GPU 1
        ids = tuple(int(item) if type(item) in (str, int) else -1 for item in items)
    except ValueError:
        ids = (-1,)
    if any(gpu < 0 for gpu in ids) or len(set(ids)) != len(ids):
        raise ConfigError(
            f"{config_file}: gpu_id must be GPU numbers such as '0,1' or '' for the CPU, found {briefly(value)}"
        )
    return ids
