"""detectron2's configuration by dotted keys: read safely, checked like the torch engine's, for box detectors only.

Example: cfg["MODEL.ROI_HEADS.NUM_CLASSES"] is 3; `cfg.node()` is what detectron2 builds from.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping

from detectron2.config import CfgNode, get_cfg

from ...config.config_file import read_values
from ...config.engine_config import EngineConfig, as_tuples, flatten
from ...errors import ConfigError
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
"""Keys that detectron2 0.6 rejects as unknown: ignored when read, and not saved, if they have these defaults."""

_IGNORED = ("TEST.EXPECTED_RESULTS",)  # published results on other data, in the files that test detectron2 itself

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


class Detectron2Config(EngineConfig):
    """See `EngineConfig`; has a value for every key of the installed detectron2."""

    DEFAULTS = MappingProxyType({key: as_tuples(value) for key, value in flatten(get_cfg())})
    ADDED_AFTER_0_6 = _ADDED_AFTER_0_6

    @classmethod
    def is_ignored(cls, key: str, value: Any) -> bool:
        return key in _ADDED_AFTER_0_6 and value == _ADDED_AFTER_0_6[key]

    def node(self) -> CfgNode:
        """Return detectron2's own object, frozen; lists are lists again, which some of its modules require."""
        cfg = get_cfg()
        for key, value in self._values.items():
            *sections, name = key.split(".")
            section = cfg
            for section_name in sections:
                section = section[section_name]
            section[name] = _like(section[name], value)
        cfg.freeze()
        return cfg


def load_config(path: Path) -> Detectron2Config:
    """Read a YAML file over detectron2's defaults.

    Raises:
        ConfigError: as `retinanet_config.load_config`.
    """
    # detectron2's own files have tags that run code; only within its installation are they followed
    values = _trusted_values(path) if _is_in_zoo(path) else read_values(path)
    kept = {key: value for key, value in flatten(values) if key not in _IGNORED}
    return Detectron2Config.default().merged(kept, str(path))


def check_supported(cfg: Mapping[str, Any]) -> None:
    """Raise ConfigError, with key and value, for what is not a box detector or needs more than a task provides."""
    for key, allowed in _CHOICES.items():
        if cfg[key] not in allowed:
            names = " or ".join(repr(value) for value in allowed)
            raise ConfigError(
                f"{key} is {cfg[key]!r}, expected {names}: this executor makes upright boxes only;"
                " choose another config_file, or set this key in args_options"
            )


def _is_in_zoo(path: Path) -> bool:
    real = path.resolve()  # a link into the zoo counts by its target, and one out of it as well
    return real.suffix != ".py" and any(folder in real.parents for folder in zoo_folders())


def _trusted_values(path: Path) -> dict[str, Any]:
    fvcore = logging.getLogger("fvcore.common.config")
    level = fvcore.level
    fvcore.setLevel(logging.ERROR)  # it warns of unsafe loading, which the place of the file justifies
    try:
        return dict(flatten(CfgNode.load_yaml_with_base(str(path), allow_unsafe=True)))
    finally:
        fvcore.setLevel(level)


def _like(model: Any, value: Any) -> Any:
    """Convert a tuple to the kinds of sequence that detectron2's default has, level by level."""
    if not isinstance(value, tuple):
        return value
    inner = model[0] if isinstance(model, (list, tuple)) and model else []
    return (tuple if isinstance(model, tuple) else list)(_like(inner, item) for item in value)
