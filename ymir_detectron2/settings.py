"""What a user can set in the form, one frozen dataclass per task: name, type, default and meaning of every key.

The web form drops empty and zero values and sends numbers as text (contract, 2.3). Therefore a missing key, an empty
text and a zero all mean the same: "the default", or, for a few keys of training, "as `config_file` says". No key has a
sensible value that is falsy while its default is not.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from dataclasses import dataclass, field
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
PRETRAINED = ("coco", "imagenet", "none")
AUGMENTATIONS = ("vertical_flip", "colour_jitter", "scale_jitter", "random_crop", "mosaic")
BEST_METRICS = ("map50", "map", "map75", "mar")
CHOICES = ("auto", "always", "never")
ANCHORS = ("auto",)
EXPORTS = ("onnx",)
OPSETS = (11, 20)
"""Oldest and newest opset that torch's exporter and the graph agree on."""
MINING_ALGORITHMS = ("cald", "cald_legacy", "entropy", "aldd", "margin", "random")


_SIZE = re.compile(r"[0-9]{1,5}x[0-9]{1,5}")


def _from_config_if_absent(default: Any) -> Any:
    """A default that the form shows; where the key is missing or zero all the same, `config_file` decides."""
    return field(default=default, metadata={"absent": type(default)()})


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

    batch_size: int = _from_config_if_absent(2)
    """Pictures per step, over all GPUs together; missing or 0: as `config_file` says."""
    config_file: str = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    """Network and schedule: a YAML file in detectron2's form, of this project, of detectron2, or by absolute path."""
    max_iter: int = _from_config_if_absent(90000)
    """Steps, to which the schedule of `config_file` is stretched or shortened; missing or 0: as it says."""
    max_epochs: float = 0.0
    """How often to go through the training set; when given, it decides in place of `max_iter`."""
    learning_rate: float = _from_config_if_absent(0.001)
    """Highest learning rate of SGD; missing or 0: that of `config_file`, in proportion to the batch size."""
    pretrained: str = ""
    """What to start from: `coco`, `imagenet` or `none`; empty: the best that is published for the network."""
    eval_period: int = 0
    """Steps between two evaluations, each of which makes one stage; 0 means a tenth of `max_iter`."""
    best_metric: str = "map50"
    """What the best stage is chosen by: `map50`, `map`, `map75` or `mar`."""
    patience: int = 0
    """Training ends after so many evaluations without a better one; 0: never."""
    ema: float = 0.0
    """Running mean of the weights, measured beside them: how much of it stays at each step, e.g. 0.999; 0: none."""
    accumulate: int = 0
    """Parts into which a batch is cut to save memory, its gradient being the sum; 0: only where memory runs out."""
    repeat_factor: float = 0.0
    """Classes in a smaller share of the pictures than this, e.g. 0.1, are shown more often (as in LVIS); 0: none."""
    class_weights: str = ""
    """How much an object of a class counts, e.g. `cat:2,dog:0.5`, or `auto`: rare classes more; empty: all alike."""
    augment: str = ""
    """Of `vertical_flip`, `colour_jitter`, `scale_jitter`, `random_crop` and `mosaic`, between commas; empty: none."""
    anchors: str = ""
    """`auto`: fit sizes and shapes of the anchors to the boxes of the training set; empty: as `config_file` says."""
    export: str = ""
    """`onnx`: pack the best stage as an ONNX model too, with decoding and NMS; empty: no."""
    export_opset: int = 0
    """Opset of that model, 11 to 20; 0: the one that is tested: 17, or 13 with torch 1.10."""
    export_size: str = ""
    """Height and width of its input, e.g. `800x1344`, 9 million pixels at most; empty: as `config_file` says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "max_iter", "max_epochs", "learning_rate", "eval_period", "patience", "accumulate",
                     "repeat_factor"):  # fmt: skip
            _require(name, getattr(self, name), getattr(self, name) >= 0, "zero or more")
        _require_one_of("best_metric", self.best_metric, BEST_METRICS)
        if self.pretrained:
            _require_one_of("pretrained", self.pretrained, PRETRAINED)
        for name in self.augmentations:
            _require_one_of("augment", name, AUGMENTATIONS)
        _require("ema", self.ema, 0 <= self.ema < 1, "0 or a decay below 1, such as 0.999")
        if self.anchors:
            _require_one_of("anchors", self.anchors, ANCHORS)
        if self.export:
            _require_one_of("export", self.export, EXPORTS)
        fits = self.export_opset == 0 or OPSETS[0] <= self.export_opset <= OPSETS[1]
        _require("export_opset", self.export_opset, fits, f"from {OPSETS[0]} to {OPSETS[1]}, or 0")
        if self.export_size:
            fits = _SIZE.fullmatch(self.export_size) is not None and 0 not in self.export_hw
            _require("export_size", self.export_size, fits, "height and width, such as 800x1344")

    @property
    def export_hw(self) -> tuple[int, ...]:
        """Height and width of the exported model's input; () where the config decides."""
        return tuple(map(int, self.export_size.split("x"))) if self.export_size else ()

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names in `augment`."""
        return tuple(name.strip() for name in self.augment.split(",") if name.strip())


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
    values: dict[str, Any] = {}
    for key in dataclasses.fields(settings_class):
        given = config.get(key.name)
        value = None if _means_default(given) else _coerce(key.name, given, types[key.name])
        if value:
            values[key.name] = value
        elif "absent" in key.metadata:
            values[key.name] = key.metadata["absent"]
    return settings_class(**values)


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
