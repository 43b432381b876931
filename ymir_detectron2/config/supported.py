"""The configurations that the torch engine supports; any other is refused, naming the key, before the work begins."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ..errors import ConfigError

NORMS = ("", "FrozenBN", "BN", "SyncBN", "nnSyncBN", "GN")
PYRAMID_BACKBONE = "build_retinanet_resnet_fpn_backbone"
DEPTHS = (18, 34, 50, 101, 152)

_MODEL_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "VERSION": (2,),
    "MODEL.META_ARCHITECTURE": ("RetinaNet",),
    "MODEL.BACKBONE.NAME": (PYRAMID_BACKBONE,),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "INPUT.FORMAT": ("BGR", "RGB"),
    "MODEL.RESNETS.NORM": NORMS,
    "MODEL.FPN.NORM": NORMS,
    "MODEL.RETINANET.NORM": NORMS,
}
"""Keys of which detectron2, and so its engine, supports more values than the torch engine."""

_TRAINING_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "INPUT.CROP.ENABLED": (False,),  # the torch engine crops by the setting `augment`
    "TEST.PRECISE_BN.ENABLED": (False,),
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler", "RepeatFactorTrainingSampler"),
    "SOLVER.LR_SCHEDULER_NAME": ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR"),
}

_MODEL_LIMITS: Mapping[str, tuple[Any, ...]] = {
    "MODEL.RESNETS.DEPTH": DEPTHS,
    "MODEL.RESNETS.RES5_DILATION": (1, 2),
    "MODEL.FPN.FUSE_TYPE": ("sum", "avg"),
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
}
"""Keys with all values that detectron2 supports."""

_TRAINING_LIMITS: Mapping[str, tuple[Any, ...]] = {
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm"),
    "TEST.AUG.ENABLED": (False,),
}


def check_supported(cfg: Mapping[str, Any], *, training: bool = False) -> None:
    """Refuse a network that the torch engine cannot build; with `training`, also what its training loop cannot do.

    Raises:
        ConfigError: names the key, its value, and `engine: detectron2` where that engine would accept it.
    """
    _require_choices(cfg, _MODEL_CHOICES, "; this needs engine: detectron2")
    _require_choices(cfg, _MODEL_LIMITS, "")
    if any(cfg["MODEL.RESNETS.DEFORM_ON_PER_STAGE"]):
        raise ConfigError("MODEL.RESNETS.DEFORM_ON_PER_STAGE: deformable convolutions need engine: detectron2")
    _check_shallow_resnet(cfg)
    _check_features(cfg)
    _check_head(cfg)
    if training:
        _require_choices(cfg, _TRAINING_CHOICES, "; this needs engine: detectron2")
        _require_choices(cfg, _TRAINING_LIMITS, "")


def _require_choices(cfg: Mapping[str, Any], choices: Mapping[str, tuple[Any, ...]], remedy: str) -> None:
    for key, allowed in choices.items():
        if cfg[key] not in allowed:
            names = " or ".join(repr(value) for value in allowed)
            raise ConfigError(f"{key} is {cfg[key]!r}, expected {names}{remedy}")


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
        _require(name in known, f"{key} names {name!r}, expected some of {', '.join(known)}")


def _check_head(cfg: Mapping[str, Any]) -> None:
    thresholds, labels = cfg["MODEL.RETINANET.IOU_THRESHOLDS"], cfg["MODEL.RETINANET.IOU_LABELS"]
    # n thresholds make n + 1 ranges of IoU: from 0 to the first one, ..., from the last one to 1
    _require(
        len(labels) == len(thresholds) + 1 and set(labels) <= {-1, 0, 1},
        f"MODEL.RETINANET.IOU_LABELS is {labels}: expected {len(thresholds) + 1} of -1, 0, 1, one per range of IoU",
    )
    _require(
        list(thresholds) == sorted(thresholds) and all(value > 0 for value in thresholds),
        f"MODEL.RETINANET.IOU_THRESHOLDS is {thresholds}: expected rising numbers above 0",
    )
    _require(cfg["MODEL.RETINANET.NUM_CONVS"] >= 1, "MODEL.RETINANET.NUM_CONVS must be at least 1")
    _require(len(cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"]) == 4, "MODEL.RETINANET.BBOX_REG_WEIGHTS must be 4 numbers")
    _require(0 < cfg["MODEL.RETINANET.PRIOR_PROB"] < 1, "MODEL.RETINANET.PRIOR_PROB must lie between 0 and 1")
    _require(0 <= cfg["MODEL.ANCHOR_GENERATOR.OFFSET"] < 1, "MODEL.ANCHOR_GENERATOR.OFFSET must lie in [0, 1)")
    for key in ("MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"):
        _require(len(cfg[key]) == 3, f"{key} must be 3 numbers, one per channel")
    _require(all(value > 0 for value in cfg["MODEL.PIXEL_STD"]), "MODEL.PIXEL_STD must be above 0")
