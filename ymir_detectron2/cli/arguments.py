"""Options that the commands which run a task have in common, and the config.yaml that they make."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import ConfigError, briefly
from ..untrusted_files import is_file

if TYPE_CHECKING:
    from ..config.common_settings import CommonSettings

_FLAGS = {
    "epochs": "max_epochs", "batch_size": "batch_size", "image_size": "image_size", "threshold": "conf_threshold",
}  # fmt: skip
"""Options of their own -> the keys of config.yaml that they stand for."""
_DECIDED_BY = {
    "class_names": "--classes", "gpu_id": "--device", "gpu_count": "--device", "pretrained_model_params": "--model",
    "model_params_path": "MODEL", "run_mining": "the command", "run_infer": "the command", "object_type": "the command",
    "task_id": "the command",
}  # fmt: skip
"""Keys that a task folder gets anyway -> what decides them."""


def add_run_options(parser: argparse.ArgumentParser, *, command: str) -> None:
    """Add what says where a task runs and where its results go, and --set for any key of config.yaml."""
    group = parser.add_argument_group("run")
    group.add_argument("--out", type=Path, metavar="RUN", help=f"new folder (runs/{command}, numbered)")
    group.add_argument("--resume", action="store_true", help="go on with RUN, or with the last one, where it stopped")
    group.add_argument("--device", "--gpu", metavar="N", help="cpu, or GPU numbers: 0,1; default: a GPU, if any")
    group.add_argument("--batch-size", type=int, metavar="N", help="images at once")
    group.add_argument("--image-size", type=int, metavar="PIXELS", help="short edge that images are resized to")
    group.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="any key of config.yaml; README.md lists them",
    )  # fmt: skip


def config_of(options: argparse.Namespace, settings_class: type[CommonSettings]) -> dict[str, Any]:
    """Return the keys of config.yaml that the options give.

    Raises:
        ConfigError: `--set` without a key, with one that nobody knows, with a value that is no YAML or out of range, or
            for what another option decides.
    """
    from ..config.read_settings import read_settings
    from ..config.unknown_keys import unknown_keys
    from ..tools.make_task import parse_config_values

    config = parse_config_values(options.set, "--set")
    for key, decided_by in _DECIDED_BY.items():
        if key in config:
            raise ConfigError(f"--set {key}: {decided_by} decides this key; leave it out")
    for option, key in _FLAGS.items():
        value = getattr(options, option, None)
        if value is not None and key in config:
            raise ConfigError(f"--{option.replace('_', '-')} and --set {key} mean the same; give one of them")
        if value is not None:
            config[key] = value
    try:
        read_settings(settings_class, config)  # the task would say the same, in a folder that is of no use then
        # which it would only warn of: the platform copies the keys of old tasks, a person has typed this one now
        for sentence in unknown_keys(config):
            raise ConfigError(sentence)
    except ConfigError as error:
        raise ConfigError(str(error).replace("config.yaml: ", "", 1)) from None
    return _with_absolute_paths(config)


def _with_absolute_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Let config_file and @FILE mean the file that a person sees from where the command is typed, if there is one."""
    return {key: _absolute(value, "" if key == "config_file" else "@") for key, value in config.items()}


def _absolute(value: Any, mark: str) -> Any:
    if not isinstance(value, str) or not value.startswith(mark):
        return value
    file = Path(value[len(mark) :])
    return f"{mark}{file.absolute()}" if is_file(file) else value


def gpu_id_of(options: argparse.Namespace) -> str | None:
    """Return `gpu_id` of a task for --device: '' is the CPU, None a GPU if there is one.

    Raises:
        ConfigError: neither `cpu` nor numbers.
    """
    text = (options.device or "").strip().lower()
    if not text:
        return None
    if text == "cpu":
        return ""
    if not re.fullmatch(r"[0-9]{1,4}(,[0-9]{1,4})*", text):
        raise ConfigError(f"--device {briefly(options.device)}: give cpu, or GPU numbers such as 0 or 0,1")
    return text
