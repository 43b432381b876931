"""The keys of config.yaml, one frozen dataclass per task: name, type, default, meaning and effects of every key.

A key is declared here, with `setting`, and read where it is used. The tables in README.md are made from this file, and
the templates of the web form are checked against it. What else the program has to know about a key is declared with it:
the values that it takes, whether a training may be resumed with another value, whether it affects predictions, and
which engines implement it.

The web form drops empty and zero values and sends numbers as text (contract, 2.3). Therefore a missing key, an empty
text, the word `none` and a zero all mean the same: the default, or, for a few keys of training, "as `config_file`
specifies". No key has a sensible value that is falsy while its default is not.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, NamedTuple, TypeVar, get_type_hints

from ..errors import ConfigError, briefly
from .mining_algorithms import MINING_ALGORITHMS

PLATFORM_KEYS = frozenset(
    {
        "class_names", "code_config", "export_format", "git_branch", "git_url", "gpu_count", "gpu_id",
        "model_params_path", "object_type", "openpai_enable", "pretrained_model_params", "prompt", "run_infer",
        "run_mining", "shm_size", "task_id", "text_prompt",
    }
)  # fmt: skip
"""Keys of config.yaml that the platform or its web form adds by itself; none of them is a hyper-parameter."""

ENGINES = ("detectron2", "torch")
AUGMENTATIONS = ("vertical_flip", "colour_jitter", "scale_jitter", "random_crop", "mosaic")
OPSETS = (11, 20)
"""Oldest and newest opset that torch's exporter and the graph agree on."""


class Limit(NamedTuple):
    """A condition on a value, and how the error message states it."""

    expected: str
    """Completes "must be ..."."""
    holds: Callable[[Any], bool]


class Effects(NamedTuple):
    """What the program has to know about a key besides its value. The defaults are safe for a new key."""

    choices: tuple[str, ...] = ()
    """The values that it takes; (): any."""
    several: bool = False
    """Any number of the choices, separated by commas."""
    limit: Limit | None = None
    if_absent: Any = None
    """The value of a missing or zero key, where it is not the default that the form shows."""
    resumable: bool = False
    """A training may be resumed with another value: it changes no result, or is part of the resolved configuration,
    which has to be equal too."""
    affects_predictions: bool = True
    """Predictions made with another value may not be reused."""
    engines: tuple[str, ...] = ENGINES
    """The engines that implement it in training; with another one, a value is an error."""


def setting(default: Any, **effects: Any) -> Any:
    """Declare a key with its default and its `Effects`, as far as they differ from the safe ones."""
    return dataclasses.field(default=default, metadata={"effects": Effects(**effects)})


def effects_of(field: dataclasses.Field[Any]) -> Effects:
    """Return what a field of a settings class was declared with."""
    return field.metadata.get("effects", Effects())


_MOST_UNKNOWN = 20  # named in the log; looking for similar names takes milliseconds for each
_MAX_WHOLE_NUMBER = 2**53  # those above it are rounded when they are read, as a float


def _from_0_to(maximum: int) -> Limit:
    return Limit(f"from 0 to {maximum}", lambda number: 0 <= number <= maximum)


_ZERO_OR_MORE = Limit("zero or more", lambda number: number >= 0)
_BATCH = _from_0_to(65536)  # a list of as many images is made before the first of them is read
_PIXELS = Limit("from 32 to 32768, or 0", lambda pixels: 32 <= pixels <= 32768)
_ON_OR_OFF = ("auto", "always", "never")


def parse_size(text: str) -> tuple[int, ...]:
    """Return height and width in pixels from e.g. "800x1344" or "800 X 1344"; () for anything else, zero included."""
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*[xX]\s*([0-9]{1,5})\s*", text)
    size = tuple(map(int, match.groups())) if match else ()
    return () if 0 in size else size


@dataclass(frozen=True)
class DeviceSettings:
    """Keys that all three tasks share."""

    engine: str = setting("auto", choices=("auto", *ENGINES), resumable=True)
    """Implementation of the network: `auto` is detectron2 where it is installed, else torch."""
    # resumable: what a machine makes of it is compared, and a difference is a warning
    precision: str = setting("auto", choices=("auto", "fp32", "bf16", "fp16"), resumable=True)
    """Mixed precision of this task, whatever its model was trained in: `auto` is bf16 on a GPU that has it, else fp32;
    what the device does not have becomes fp32."""
    num_workers: int = setting(0, limit=_from_0_to(256), resumable=True, affects_predictions=False)
    """Data-loading workers that decode images ahead; 0 chooses by the number of processors."""
    max_image_megapixels: float = setting(0.0, limit=_ZERO_OR_MORE, resumable=True)
    """Millions of pixels that an image may have; larger ones are left out. 0: as many as the memory of the machine, or
    of the container, can hold."""
    seed: int = setting(0, limit=Limit("between 0 and 4294967295", lambda seed: 0 <= seed < 2**32))
    """Random seed; the same seed gives the same result on a machine of the same kind."""
    # where args_options matter, their parsed values are compared: how they are spelled makes no difference
    args_options: str = setting("", resumable=True, affects_predictions=False)
    """Flags and KEY VALUE pairs as for detectron2, e.g. `INPUT.MIN_SIZE_TEST 640`; they override every other key."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name, value, effects = field.name, getattr(self, field.name), effects_of(field)
            if value == field.default:
                continue  # always valid: for many keys it is outside of the limits and means "off" or "automatic"
            if effects.choices:
                for choice in _split(value) if effects.several else [value]:
                    _require(name, choice, choice in effects.choices, "one of " + ", ".join(effects.choices))
            if effects.limit is not None:
                _require(name, value, effects.limit.holds(value), effects.limit.expected)


@dataclass(frozen=True)
class TrainSettings(DeviceSettings):
    """Keys of training-template.yaml."""

    # if_absent: the form shows a default, but for a field that a user empties, `config_file` decides
    batch_size: int = setting(2, if_absent=0, limit=_BATCH, resumable=True)
    """Images per step, over all GPUs together; missing or 0: as `config_file` specifies."""
    config_file: str = setting("configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml", resumable=True)
    """Network and schedule (of a chosen model only the schedule): a YAML file in detectron2's form, of this project, of
    detectron2, or by absolute path."""
    max_iter: int = setting(90000, if_absent=0, limit=_ZERO_OR_MORE, resumable=True)
    """Steps, to which the schedule of `config_file` is scaled; missing or 0: as `config_file` specifies."""
    max_epochs: float = setting(0.0, limit=_from_0_to(1_000_000), resumable=True)
    """Epochs; when given, it takes precedence over `max_iter`."""
    learning_rate: float = setting(0.001, if_absent=0.0, limit=_ZERO_OR_MORE, resumable=True)
    """Peak learning rate of SGD; missing or 0: that of `config_file`, scaled with the batch size."""
    image_size: int = setting(0, limit=_PIXELS, resumable=True)
    """Short edge of images in inference, in pixels; all sizes keep their proportions. 0: as in the chosen model, else
    as `config_file` specifies."""
    pretrained: str = setting("", choices=("coco", "imagenet", "none"))
    """Weights from which fine-tuning starts, `none` for random ones; empty: the best published for the network."""
    eval_period: int = setting(0, limit=_ZERO_OR_MORE, resumable=True)
    """Steps between two evaluations, each of which makes one stage; 0 means a tenth of `max_iter`."""
    best_metric: str = setting("map50", choices=("map50", "map", "map75", "mar"))
    """Metric for model selection (the best stage) and early stopping."""
    patience: int = setting(0, limit=_ZERO_OR_MORE, resumable=True)
    """Early stopping: end the training after so many evaluations without improvement; 0 = off."""
    ema: float = setting(0.0, limit=Limit("0 or a decay below 1, such as 0.999", lambda decay: 0 < decay < 1))
    """EMA decay of the weights, e.g. 0.999; evaluated alongside the raw weights; 0 = off."""
    accumulate: int = setting(0, limit=_BATCH, resumable=True, engines=("torch",))
    """Gradient accumulation: micro-batches per batch, to save memory; 0: only where memory runs out."""
    repeat_factor: float = setting(0.0, limit=_ZERO_OR_MORE)
    """Repeat factor sampling (LVIS): oversample classes in less than this share of the images, e.g. 0.1; 0 = off."""
    class_weights: str = setting("", engines=("torch",))
    """Weights of the classes in the loss, e.g. `cat:2,dog:0.5`, or `auto`: rare classes more; empty: all 1."""
    augment: str = setting("", choices=AUGMENTATIONS, several=True, engines=("torch",))
    """Data augmentation besides the flip and resize of `config_file`, or of a chosen model; empty: none."""
    anchors: str = setting("", choices=("auto",))
    """Fit anchor sizes and aspect ratios to the training boxes; empty: as `config_file` specifies."""
    # the export follows the training and changes nothing in it
    export: str = setting("", choices=("onnx",), resumable=True)
    """Export the best stage to this format too, with decoding and NMS; empty: no export."""
    export_opset: int = setting(
        0, resumable=True,
        limit=Limit(f"from {OPSETS[0]} to {OPSETS[1]}, or 0", lambda opset: OPSETS[0] <= opset <= OPSETS[1]),
    )  # fmt: skip
    """Opset of the ONNX model, 11 to 20; 0: the one that is tested: 17, or 13 with torch 1.10."""
    export_size: str = setting(
        "", resumable=True, limit=Limit("height and width, such as 800x1344", lambda text: parse_size(text) != ())
    )
    """Input height and width of the ONNX model, e.g. `800x1344`, 9 million pixels at most; empty: as in inference."""

    @property
    def export_hw(self) -> tuple[int, ...]:
        """Height and width of the exported model's input; () where the configuration decides."""
        return parse_size(self.export_size)

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names in `augment`."""
        return tuple(_split(self.augment))


@dataclass(frozen=True)
class InferSettings(DeviceSettings):
    """Keys of infer-template.yaml."""

    conf_threshold: float = setting(0.2, limit=Limit("between 0 and 1", lambda score: 0 < score < 1))
    """Confidence threshold between 0 and 1: boxes must have a higher score."""
    batch_size: int = setting(0, limit=_BATCH)
    """Images per forward pass; 0 chooses by the device."""
    tile_size: int = setting(0, limit=Limit("at least 32, or 0", lambda pixels: pixels >= 32))
    """For small objects in large images: side in pixels of the tiles that a larger image is cut into; 0: no tiles."""
    tile_overlap: int = 0
    """Pixels that neighbouring tiles share; 0: a fifth of `tile_size`."""
    channels_last: str = setting("auto", choices=_ON_OR_OFF)
    """Memory format of the tensors, channels-last or contiguous: `auto` is `always`."""
    fuse: str = setting("auto", choices=_ON_OR_OFF)
    """Fold normalisation layers into convolutions, in the torch engine: `auto` is `always`."""
    compile: str = setting("auto", choices=_ON_OR_OFF)
    """torch.compile, in the torch engine; takes seconds for each shape of images: `auto` is `never`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # not a `Limit`: it depends on another key
        fits = 0 <= self.tile_overlap <= self.tile_size // 2
        _require("tile_overlap", self.tile_overlap, fits, "at most half of tile_size")


@dataclass(frozen=True)
class MiningSettings(InferSettings):
    """Keys of mining-template.yaml."""

    mining_algorithm: str = setting("cald", choices=tuple(MINING_ALGORITHMS))
    """Acquisition function: what makes an image worth labelling."""
    class_distribution_scores: str = ""
    """For `aldd`: weights of the classes, e.g. `1.0,1.0,0.1`; classes without a number have 1."""
    # diversity orders the scores when all of them are there
    diversity_distance: float = setting(
        0.0, limit=Limit("below 1, or 0", lambda distance: 0 < distance < 1), affects_predictions=False
    )
    """Near-duplicates: of two images at a smaller cosine distance, the less informative is moved back; 0 = off."""
    diversity_pool: int = setting(5000, limit=Limit("at least 2", lambda count: count >= 2), affects_predictions=False)
    """How many of the best images `diversity_distance` compares."""


TaskSettings = TypeVar("TaskSettings", bound=DeviceSettings)
ALL_SETTINGS: tuple[type[DeviceSettings], ...] = (TrainSettings, InferSettings, MiningSettings)


def read_settings(settings_class: type[TaskSettings], config: Mapping[str, Any]) -> TaskSettings:
    """Take the keys of one task out of config.yaml, converted to their types.

    Raises:
        ConfigError: a value cannot be converted or is out of range; the sentence names key and value.
    """
    types = get_type_hints(settings_class)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings_class):
        raw, effects = config.get(field.name), effects_of(field)
        value = None if _means_nothing(raw, effects) else _coerce(field.name, raw, types[field.name])
        if value:  # zero is as good as missing: from the form it would not have come
            values[field.name] = _as_declared(value, effects)
        elif effects.if_absent is not None:
            values[field.name] = effects.if_absent
    return settings_class(**values)


def values_where(settings: DeviceSettings, condition: Callable[[Effects], bool]) -> dict[str, Any]:
    """Return the values of the keys whose effects meet a condition, by name."""
    return {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if condition(effects_of(field))
    }


def require_implemented(settings: DeviceSettings, engine: str) -> None:
    """Refuse values of keys that an engine does not implement, rather than ignore them in silence.

    Raises:
        ConfigError: names key, value and the engine that is needed.
    """
    for field in dataclasses.fields(settings):
        value, engines = getattr(settings, field.name), effects_of(field).engines
        is_used = value not in (field.default, "", 0, 1)  # 1: `accumulate` with one micro-batch is off
        if is_used and engine not in engines:
            raise ConfigError(
                f"config.yaml: {field.name}: {briefly(value)} needs engine: {' or '.join(engines)}; set that,"
                " or leave the key empty"
            )


def unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each key that neither a task nor the platform knows, with the nearest known one."""
    known = {field.name for settings in ALL_SETTINGS for field in dataclasses.fields(settings)} | PLATFORM_KEYS
    sentences = []
    unknown = sorted(str(key) for key in config if key not in known)
    for key in unknown[:_MOST_UNKNOWN]:
        near = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        sentences.append(f"config.yaml: unknown key {briefly(key)} has no effect{hint}")
    if len(unknown) > _MOST_UNKNOWN:
        sentences.append(f"config.yaml: {len(unknown) - _MOST_UNKNOWN} more unknown keys have no effect")
    return sentences


def _means_nothing(value: Any, effects: Effects) -> bool:
    """Return whether a value stands for a missing one: blanks, or the word `none` where that is no choice."""
    word = value.strip().lower() if isinstance(value, str) else value
    return word in (None, "") or (word in ("none", "null") and word not in effects.choices)


def _as_declared(value: Any, effects: Effects) -> Any:
    """Return choices as they are declared: capitals and blanks make no difference, `FP16` is `fp16`."""
    if not effects.choices:
        return value
    words = _split(value) if effects.several else [value]
    return ",".join(word.lower() if word.lower() in effects.choices else word for word in words)


def _coerce(name: str, value: Any, target: type) -> Any:
    """Convert one value of config.yaml, where numbers may come as text and text as numbers."""
    try:
        if target is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value).strip()
        if target is not str and not isinstance(value, bool):
            number = float(value)  # also for int: "4.0" and "1e3" are whole numbers
            if math.isfinite(number) and (target is float or (number == int(number) <= _MAX_WHOLE_NUMBER)):
                return target(number)
    except (TypeError, ValueError, OverflowError):
        pass  # falls through to the sentence below, which fits these values as well
    expected = {int: "a whole number", float: "a number", str: "text"}[target]
    raise ConfigError(
        f"config.yaml: {name}: expected {expected}, found {briefly(value)}; correct it or leave the field empty"
    )


def _require(name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ConfigError(f"config.yaml: {name}: must be {expected}, found {briefly(value)}")


def _split(text: str) -> Iterable[str]:
    return filter(None, map(str.strip, text.split(",")))
