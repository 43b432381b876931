"""What a user can set in the form, one frozen dataclass per task: name, type, default and meaning of every key.

The web form drops empty and zero values and sends numbers as text (contract, 2.3). Therefore a missing key, an empty
text and a zero all mean "the default", and no key has a sensible value that is falsy while its default is not.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any, Mapping, Sequence, TypeVar, get_type_hints

from .errors import ConfigError, briefly

PLATFORM_KEYS = frozenset(
    {
        "class_names", "code_config", "export_format", "git_branch", "git_url", "gpu_count", "gpu_id",
        "model_params_path", "object_type", "openpai_enable", "pretrained_model_params", "prompt", "run_infer",
        "run_mining", "shm_size", "task_id", "text_prompt",
    }
)  # fmt: skip
"""Keys of config.yaml that the platform or its web form adds by itself; none of them is a hyper-parameter."""

ENGINES = ("auto", "detectron2", "torch")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CHOICES = ("auto", "always", "never")
MINING_ALGORITHMS = ("cald", "cald_legacy", "entropy", "aldd", "margin", "random")


@dataclass(frozen=True)
class DeviceSettings:
    """Keys that all three tasks share."""

    engine: str = "auto"
    """Who runs the network: `detectron2`, `torch`, or `auto`: detectron2 where it is installed, else torch."""
    precision: str = "auto"
    """Arithmetic: `fp32`, `bf16`, `fp16`, or `auto`: bf16 on a GPU that has it, else fp32."""
    num_workers: int = 0
    """Readers that decode pictures ahead; 0 chooses by the number of processors."""
    seed: int = 0
    """Start of all random numbers; the same seed gives the same result."""
    args_options: str = ""
    """Flags and KEY VALUE pairs as for detectron2, e.g. `INPUT.MIN_SIZE_TEST 640`; they win over every other key."""

    def __post_init__(self) -> None:
        _require_one_of("engine", self.engine, ENGINES)
        _require_one_of("precision", self.precision, PRECISIONS)
        _require("num_workers", self.num_workers, self.num_workers >= 0, "zero or more")
        _require("seed", self.seed, 0 <= self.seed < 2**32, "between 0 and 4294967295")


@dataclass(frozen=True)
class TrainSettings(DeviceSettings):
    """Keys of training-template.yaml."""

    batch_size: int = 2
    """Pictures per step, over all GPUs together."""
    config_file: str = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    """Network and schedule: a YAML file in detectron2's form, of this project, of detectron2, or by absolute path."""
    max_iter: int = 90000
    """Number of training steps; the schedule of `config_file` is stretched or shortened to it."""
    learning_rate: float = 0.001
    """Highest learning rate of SGD, as given, whatever the batch size."""
    eval_period: int = 0
    """Steps between two evaluations, each of which makes one stage; 0 means a tenth of `max_iter`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        _require("max_iter", self.max_iter, self.max_iter >= 1, "at least 1")
        _require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        _require("eval_period", self.eval_period, self.eval_period >= 0, "zero or more")


@dataclass(frozen=True)
class InferSettings(DeviceSettings):
    """Keys of infer-template.yaml."""

    conf_threshold: float = 0.2
    """Boxes with a score of this or less are left out, between 0 and 1."""
    batch_size: int = 0
    """Pictures per forward pass; 0 chooses by the device."""
    tile_size: int = 0
    """For small objects in large pictures: side of the tiles that a larger picture is cut into, in pixels; 0 means no
    tiles."""
    tile_overlap: int = 0
    """Pixels that neighbouring tiles share; 0 means a fifth of `tile_size`."""
    channels_last: str = "auto"
    """Order of numbers in memory that suits convolutions: `always`, `never`, or `auto`: always."""
    fuse: str = "auto"
    """Fold normalisations into convolutions first, in the torch engine: `always`, `never`, or `auto`: always."""
    compile: str = "auto"
    """torch's compiler, in the torch engine, seconds per shape of pictures: `always`, `never`, or `auto`: never."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("conf_threshold", self.conf_threshold, 0 < self.conf_threshold < 1, "between 0 and 1")
        _require("batch_size", self.batch_size, self.batch_size >= 0, "zero or more")
        _require("tile_size", self.tile_size, self.tile_size == 0 or self.tile_size >= 32, "at least 32, or 0")
        fits = 0 <= self.tile_overlap <= self.tile_size // 2
        _require("tile_overlap", self.tile_overlap, fits, "at most half of tile_size")
        for name in ("channels_last", "fuse", "compile"):
            _require_one_of(name, getattr(self, name), CHOICES)


@dataclass(frozen=True)
class MiningSettings(InferSettings):
    """Keys of mining-template.yaml."""

    mining_algorithm: str = "cald"
    """What makes a picture worth labelling: `cald`, `cald_legacy`, `entropy`, `aldd`, `margin` or `random`."""
    class_distribution_scores: str = ""
    """For `aldd`: how much each class counts, e.g. `1.0,1.0,0.1`; classes without a number count 1."""
    diversity_distance: float = 0.0
    """Of two pictures whose cosine distance is smaller, the less informative is moved behind; 0 means off."""
    diversity_pool: int = 5000
    """How many of the best pictures `diversity_distance` compares."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_one_of("mining_algorithm", self.mining_algorithm, MINING_ALGORITHMS)
        _require("diversity_distance", self.diversity_distance, 0 <= self.diversity_distance < 1, "below 1, or 0")
        _require("diversity_pool", self.diversity_pool, self.diversity_pool >= 2, "at least 2")


TaskSettings = TypeVar("TaskSettings", bound=DeviceSettings)
ALL_SETTINGS: tuple[type[DeviceSettings], ...] = (TrainSettings, InferSettings, MiningSettings)


def read_settings(settings_class: type[TaskSettings], config: Mapping[str, Any]) -> TaskSettings:
    """Take the keys of one task out of config.yaml, converted to their types.

    Raises:
        ConfigError: a value cannot be converted or is out of range; the sentence names key and value.
    """
    types = get_type_hints(settings_class)
    values = {
        field.name: _coerce(field.name, config[field.name], types[field.name])
        for field in dataclasses.fields(settings_class)
        if not _means_default(config.get(field.name))
    }
    return settings_class(**{name: value for name, value in values.items() if value})


def unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """One sentence for each key of config.yaml that neither a task nor the platform knows, with the nearest name."""
    known = {field.name for settings in ALL_SETTINGS for field in dataclasses.fields(settings)} | PLATFORM_KEYS
    sentences = []
    for key in sorted(str(key) for key in config if key not in known):
        near = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        sentences.append(f"config.yaml: unknown key '{key}' has no effect{hint}")
    return sentences


def _means_default(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _coerce(name: str, value: Any, wanted: type) -> Any:
    """Convert one value of config.yaml, where numbers may come as text and text as numbers."""
    try:
        if wanted is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value).strip()
        if wanted is not str and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number) and (wanted is float or number == int(number)):
                return wanted(number)
    except (TypeError, ValueError, OverflowError):
        pass  # falls through to the sentence below, which fits these values as well
    expected = {int: "a whole number", float: "a number", str: "text"}[wanted]
    found = briefly(value)
    raise ConfigError(f"config.yaml: {name}: expected {expected}, found {found}; correct it or leave the field empty")


def _require(name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ConfigError(f"config.yaml: {name}: must be {expected}, found {value!r}")


def _require_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    _require(name, value, value in allowed, "one of " + ", ".join(allowed))
