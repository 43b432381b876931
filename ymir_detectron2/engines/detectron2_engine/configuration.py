"""detectron2's configuration by dotted keys: read safely, checked like the torch engine's, for box detectors only.

Example: cfg["MODEL.ROI_HEADS.NUM_CLASSES"] is 3; `cfg.node()` is what detectron2 builds from.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping

import yaml
from detectron2.config import CfgNode, get_cfg

from ...config.accepted_values import BOX_LOSSES, check_combinations, check_values, require_choice
from ...config.config_file import read_values
from ...config.engine_config import EngineConfig, as_tuples, flatten
from ...config.model_keys import only
from ...yaml_file import NotYamlError, load_yaml
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

_EXPECTED_RESULTS = "TEST.EXPECTED_RESULTS"  # on other data, in the files that test detectron2 itself

_READ_BY_THIS_PROJECT = ("SOLVER.BASE_LR_END", "SOLVER.NUM_DECAYS", "SOLVER.RESCALE_INTERVAL", "FLOAT32_PRECISION")
"""Those of them that work with detectron2 0.6 too, because detectron2's own code is not asked."""

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": BOX_LOSSES,
    "MODEL.ROI_HEADS.NAME": ("Res5ROIHeads", "StandardROIHeads", "CascadeROIHeads"),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": BOX_LOSSES,
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": (False,),  # it needs the numbers of images that LVIS has of each class
}
"""What an R-CNN can be here, besides accepted_values.py."""


class Detectron2Config(EngineConfig):
    """See `EngineConfig`; has a value for every key of the installed detectron2 that a task reads."""

    DEFAULTS = MappingProxyType(
        {
            **{key: _ADDED_AFTER_0_6[key] for key in _READ_BY_THIS_PROJECT},
            **{key: as_tuples(value) for key, value in flatten(get_cfg()) if key != _EXPECTED_RESULTS},
        }
    )
    ADDED_AFTER_0_6 = _ADDED_AFTER_0_6

    @classmethod
    def is_ignored(cls, key: str, value: Any) -> bool:
        return key == _EXPECTED_RESULTS or (key in _ADDED_AFTER_0_6 and value == _ADDED_AFTER_0_6[key])

    def node(self) -> CfgNode:
        """Return detectron2's own object, frozen; lists are lists again, which some of its modules require."""
        cfg = get_cfg()
        for key, value in self._values.items():
            *sections, name = key.split(".")
            section = cfg
            for section_name in sections:
                section = section[section_name]
            if name in section:  # detectron2 0.6 lacks some
                section[name] = _like(section[name], value)
        cfg.freeze()
        return cfg


def load_config(path: Path, keys: tuple[str, ...] = ()) -> Detectron2Config:
    """Read a YAML file over detectron2's defaults, see `retinanet_config.load_config`."""
    values = read_values(path, zoo=zoo_folders(), load=_load_by_place)
    return Detectron2Config.default().merged(only(values, keys), str(path))


def check_supported(cfg: Mapping[str, Any], *, training: bool = False) -> None:
    """Raise ConfigError, with key and value, for what is not a box detector or needs more than a task provides."""
    check_values(cfg, training=training)
    for key, allowed in _CHOICES.items():
        if key in cfg:  # detectron2 0.6 lacks some
            require_choice(cfg, key, allowed, "choose another config_file, or set this key in args_options")
    if training:
        check_combinations(cfg)


def _load_by_place(path: Path) -> Any:
    """Load a YAML file; the tags of detectron2's own files, which run code, are followed within its installation only.

    Every file is judged for itself: a base in the zoo makes the file that names it no more trusted.
    """
    try:
        return load_yaml(path)
    except NotYamlError as error:
        real = path.resolve()  # a link into the zoo counts by its target, and one out of it as well
        if not error.is_tag or not any(folder in real.parents for folder in zoo_folders()):
            raise
        return yaml.unsafe_load(real.read_text(encoding="utf-8"))


def _like(model: Any, value: Any) -> Any:
    """Convert a tuple to the kinds of sequence that detectron2's default has, level by level."""
    if not isinstance(value, tuple):
        return value
    inner = model[0] if isinstance(model, (list, tuple)) and model else []
    return (tuple if isinstance(model, tuple) else list)(_like(inner, item) for item in value)
