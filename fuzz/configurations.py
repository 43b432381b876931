"""Configurations: config.yaml of a model and config_file with their `_BASE_`, and KEY VALUE pairs of args_options."""

from __future__ import annotations

import random
import shlex
from pathlib import Path
from typing import Any

from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.config.defaults import DEFAULTS
from ymir_detectron2.config.ineffective_keys import ineffective_options, ineffective_values
from ymir_detectron2.config.model_keys import PREDICTION_KEYS
from ymir_detectron2.config.packed_config import packed_yaml
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.config.supported import check_supported
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.version import PROJECT_DIR

from .mutation import choose, damaged, oddity_of_input
from .yaml_values import odd_value

EXPECTED = (ConfigError,)
"""What the readers may raise."""

_ZOO_CONFIG = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"
_BASES = (
    str(PROJECT_DIR / _ZOO_CONFIG), _ZOO_CONFIG, "base.yaml", "./base.yaml", "[base.yaml, config.yaml]", "config.yaml",
)  # fmt: skip
_TEXTS = (
    "0x" + "f" * 5000, "9" * 400, "9" * 5000, "(" * 300 + ")" * 300, "[[1],2]", "(1,", "'\\0'", "'\\ud800'", "1e999",
    "-1", "nan", "None", "True", "{1: 2}", "{1}", "b'x'", "...", "1j", "-" * 500 + "1", "1 if", "'a' 'b'", "1_0",
    "(1,)", "[]", "0", "1", "(0.5, [1])", "((1, 2), (3,))", "('res3',)", "x" * 3000, "", "lambda: 1", "[1] * 9",
    "1" + "+1" * 500,
)  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write config.yaml, base.yaml and the text of args_options; return the first."""
    oddity = oddity_of_input(rng)
    for name in ("config.yaml", "base.yaml"):
        content = _file(rng, oddity).encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(damaged(content, rng, oddity / 2))
    words = [word for key in rng.sample(sorted(DEFAULTS), rng.randrange(3)) for word in (key, _text(rng, key, oddity))]
    (folder / "args_options").write_text(" ".join(map(shlex.quote, words)), encoding="utf-8")
    return folder / "config.yaml"


def _file(rng: random.Random, oddity: float) -> str:
    base = odd_value(rng) if rng.random() < oddity else choose(rng, _BASES[:2], _BASES, oddity)
    lines = [f"_BASE_: {base}"]
    for key in rng.sample(sorted(DEFAULTS), rng.randrange(5)):
        value = odd_value(rng) if rng.random() < oddity / 2 else f"'{_text(rng, key, oddity)}'"
        lines.append(f"{key}: {value}" if rng.random() < 0.7 else _nested(key, value))
    return "\n".join(lines)


def _nested(key: str, value: str) -> str:
    *sections, name = key.split(".")
    return "".join(f"{' ' * depth}{section}:\n" for depth, section in enumerate(sections)) + f"{' ' * 9}{name}: {value}"


def _text(rng: random.Random, key: str, oddity: float) -> str:
    return choose(rng, (_like(DEFAULTS[key], rng),), _TEXTS, oddity).replace("'", '"')


def _like(default: Any, rng: random.Random) -> str:
    """Return a value of the same type, with other numbers, and sometimes with another length or depth."""
    if isinstance(default, tuple):
        items = [_like(item, rng) for item in default] * rng.choice((1, 1, 1, 0, 2))
        return f"({','.join(items)},)" if items else "()"
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        return str(rng.choice((default, default, default, 0, -1, 1, 0.5, 2, 1e9, 1e300)))
    return repr(default)


def read(path: Path) -> None:
    """Read the file for predictions and for a training, with args_options on top, and write it as it is packed."""
    error = None
    for keys in (PREDICTION_KEYS, ()):
        try:
            _resolve(path, keys)
        except ConfigError as refusal:
            error = refusal
    if error is not None:
        raise error


def _resolve(path: Path, keys: tuple[str, ...]) -> None:
    options = parse_args_options(path.with_name("args_options").read_text(encoding="utf-8"))
    cfg: RetinaNetConfig = load_config(path, keys).merged(options.values, "args_options")
    repr(cfg).encode("utf-8")
    check_supported(cfg, training=not keys)
    ineffective_options(cfg, options.values, training=not keys, on_gpu=False)
    ineffective_values(cfg, cfg, RetinaNetConfig.default())
    packed_yaml(cfg, "model.pth").encode("utf-8")
