"""detectron2's own configuration by dotted keys: read safely, checked like that of the other engine, for boxes only.

Example: cfg["MODEL.ROI_HEADS.NUM_CLASSES"] is 3; `cfg.node()` is what detectron2 builds from.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Iterator, Mapping

from detectron2.config import CfgNode, get_cfg

from ...errors import ConfigError
from ...retinanet.config import read_values, unknown_key, values_to_yaml
from ...retinanet.config_values import coerce, flatten
from ..zoo import zoo_folders

_ADDED_AFTER_0_6: Mapping[str, Any] = {
    "DATALOADER.REPEAT_SQRT": True,
    "FLOAT32_PRECISION": "",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER": 0.5,
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES": 50,
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": False,
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": False,
    "SOLVER.BASE_LR_END": 0.0,
    "SOLVER.NUM_DECAYS": 3,
    "SOLVER.RESCALE_INTERVAL": False,
}
"""Keys that detectron2 0.6 rejects as unknown; with these values, their defaults, a saved configuration lacks them."""

_NOT_OURS = ("TEST.EXPECTED_RESULTS",)  # published results of other data, in the files that test detectron2 itself

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "VERSION": (2,),
    "MODEL.META_ARCHITECTURE": ("RetinaNet", "GeneralizedRCNN"),
    "MODEL.MASK_ON": (False,),
    "MODEL.KEYPOINT_ON": (False,),
    "MODEL.LOAD_PROPOSALS": (False,),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.ROI_HEADS.NAME": ("Res5ROIHeads", "StandardROIHeads", "CascadeROIHeads"),
    "INPUT.FORMAT": ("BGR", "RGB"),
    "TEST.AUG.ENABLED": (False,),
}


class Detectron2Config(Mapping[str, Any]):
    """See `base.EngineConfig`; every key that this detectron2 knows has a value, and sequences are tuples."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    @classmethod
    def default(cls) -> Detectron2Config:
        return cls({key: _as_tuples(value) for key, value in flatten(get_cfg())})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def merged(self, values: Mapping[str, Any], source: str) -> Detectron2Config:
        """See `base.EngineConfig`."""
        result = dict(self._values)
        for key, value in flatten(values):
            if key in result:
                # the default's type decides, not that of an earlier value: WEIGHT_DECAY_BIAS may be null or a number
                result[key] = coerce(key, value, _DEFAULTS[key], source)
            elif key not in _ADDED_AFTER_0_6 or value != _ADDED_AFTER_0_6[key]:
                raise ConfigError(f"{source}: {unknown_key(key, self._values)}")
        return Detectron2Config(result)

    def to_yaml(self) -> str:
        """See `base.EngineConfig`."""
        added = _ADDED_AFTER_0_6
        return values_to_yaml({key: self[key] for key in self if not (key in added and self[key] == added[key])})

    def node(self) -> CfgNode:
        """The same as detectron2's own object, frozen; lists are lists again, which some of its parts insist on."""
        cfg = get_cfg()
        for key, value in self._values.items():
            *sections, name = key.split(".")
            section = cfg
            for part in sections:
                section = section[part]
            section[name] = _like(section[name], value)
        cfg.freeze()
        return cfg


def load_config(path: Path) -> Detectron2Config:
    """Read a YAML file over detectron2's defaults.

    Tags that run code are followed in detectron2's own files alone, whose place in its installation vouches for them.

    Raises:
        ConfigError: as `retinanet.config.load_config`.
    """
    values = _trusted_values(path) if _is_detectron2s_own(path) else read_values(path)
    return _DEFAULT.merged({key: value for key, value in flatten(values) if key not in _NOT_OURS}, str(path))


def check_supported(cfg: Mapping[str, Any]) -> None:
    """Refuse what is no box detector, or needs what a task does not bring.

    Raises:
        ConfigError: names the key and its value.
    """
    for key, allowed in _CHOICES.items():
        if cfg[key] not in allowed:
            names = " or ".join(repr(value) for value in allowed)
            raise ConfigError(
                f"{key} is {cfg[key]!r}, expected {names}: this executor makes upright boxes only;"
                " choose another config_file, or set this key in args_options"
            )


def _is_detectron2s_own(path: Path) -> bool:
    real = path.resolve()
    return real.suffix != ".py" and any(folder in real.parents for folder in zoo_folders())


def _trusted_values(path: Path) -> dict[str, Any]:
    fvcore = logging.getLogger("fvcore.common.config")
    level = fvcore.level
    fvcore.setLevel(logging.ERROR)  # it warns of what the place of the file rules out
    try:
        return dict(flatten(CfgNode.load_yaml_with_base(str(path), allow_unsafe=True)))
    finally:
        fvcore.setLevel(level)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, (list, tuple)) else value


def _like(model: Any, value: Any) -> Any:
    """Give a tuple the kinds of sequence that detectron2's default has, level by level."""
    if not isinstance(value, tuple):
        return value
    inner = model[0] if isinstance(model, (list, tuple)) and model else []
    return (tuple if isinstance(model, tuple) else list)(_like(inner, item) for item in value)


_DEFAULT = Detectron2Config.default()
_DEFAULTS: Mapping[str, Any] = dict(_DEFAULT)
