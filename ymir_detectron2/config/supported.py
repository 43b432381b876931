"""The configurations that the torch engine supports; any other is refused, naming the key, before the work begins.

What no engine supports is in accepted_values.py.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ..errors import ConfigError, briefly
from .accepted_values import check_combinations, check_values, require_choice

NORMS = ("", "FrozenBN", "BN", "SyncBN", "nnSyncBN", "GN")
PYRAMID_BACKBONE = "build_retinanet_resnet_fpn_backbone"
_OTHER_ENGINE = "this needs engine: detectron2"

_MODEL_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "MODEL.META_ARCHITECTURE": ("RetinaNet",),
    "MODEL.BACKBONE.NAME": (PYRAMID_BACKBONE,),
    "MODEL.RESNETS.NORM": NORMS,
    "MODEL.FPN.NORM": NORMS,
    "MODEL.RETINANET.NORM": NORMS,
}
"""Keys of which detectron2, and so its engine, supports more values than the torch engine."""

_TRAINING_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "INPUT.CROP.ENABLED": (False,),  # the torch engine crops by the setting `augment`
    "TEST.PRECISE_BN.ENABLED": (False,),
}


def check_supported(cfg: Mapping[str, Any], *, training: bool = False) -> None:
    """Refuse a network that the torch engine cannot build; with `training`, also what its training loop cannot do.

    Raises:
        ConfigError: names the key, its value, and `engine: detectron2` where that engine would accept it.
    """
    check_values(cfg, training=training)
    _require_choices(cfg, _MODEL_CHOICES, _OTHER_ENGINE)
    if any(cfg["MODEL.RESNETS.DEFORM_ON_PER_STAGE"]):
        raise ConfigError("MODEL.RESNETS.DEFORM_ON_PER_STAGE: deformable convolutions need engine: detectron2")
    _check_shallow_resnet(cfg)
    _check_features(cfg)
    _require(cfg["MODEL.RETINANET.NUM_CONVS"] >= 1, "MODEL.RETINANET.NUM_CONVS must be at least 1")
    if training:
        check_combinations(cfg)
        _require_choices(cfg, _TRAINING_CHOICES, _OTHER_ENGINE)


def _require_choices(cfg: Mapping[str, Any], choices: Mapping[str, tuple[Any, ...]], remedy: str) -> None:
    for key, allowed in choices.items():
        require_choice(cfg, key, allowed, remedy)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ConfigError(sentence)


def _check_shallow_resnet(cfg: Mapping[str, Any]) -> None:
    """Refuse shapes of ResNet-18 and -34 that their basic blocks cannot have; detectron2 asserts the same."""
    fixed = {"RES2_OUT_CHANNELS": 64, "NUM_GROUPS": 1, "RES5_DILATION": 1}
    if cfg["MODEL.RESNETS.DEPTH"] < 50:
        for name, value in fixed.items():
            key = f"MODEL.RESNETS.{name}"
            _require(cfg[key] == value, f"{key} must be {value} for MODEL.RESNETS.DEPTH 18 and 34, found {cfg[key]}")


def _check_features(cfg: Mapping[str, Any]) -> None:
    outputs, inputs = cfg["MODEL.RESNETS.OUT_FEATURES"], cfg["MODEL.FPN.IN_FEATURES"]
    _require_known("MODEL.RESNETS.OUT_FEATURES", outputs, ("stem", "res2", "res3", "res4", "res5"))
    # as in detectron2; p6 could also be computed from p5
    _require("res5" in outputs, "MODEL.RESNETS.OUT_FEATURES must contain 'res5': p6 is made from it")
    _require(bool(inputs), "MODEL.FPN.IN_FEATURES is empty; the Base-RetinaNet.yaml names res3, res4 and res5")
    _require_known("MODEL.FPN.IN_FEATURES", inputs, [name for name in outputs if name != "stem"])
    _require(bool(cfg["MODEL.RETINANET.IN_FEATURES"]), "MODEL.RETINANET.IN_FEATURES is empty")


def _require_known(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        _require(name in known, f"{key} names {briefly(name)}, expected some of {', '.join(known)}")
