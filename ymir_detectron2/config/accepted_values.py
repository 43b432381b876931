"""Which values of detectron2's keys both engines accept: what is impossible is refused before the work begins.

What only one of the engines can do is in supported.py and in the detectron2 engine's configuration.py.
"""

from __future__ import annotations

import math
from typing import Any, Iterator, Mapping, Sequence

from ..errors import ConfigError, briefly
from .image_sizes import MAX_EDGE, MAX_LONGEST_EDGE
from .setting import Limit, from_0_to

BOX_LOSSES = ("smooth_l1", "giou", "diou", "ciou")
CORRECT_IT = "correct it in config_file or args_options"
_ONLY_BOXES = "this executor predicts upright boxes only; choose another config_file, or set this key in args_options"

_OTHER_NETWORKS = (
    "other networks predict more than upright boxes, or are built by lazy configs only, which are Python code that is"
    " never run here (FCOS, ViTDet); choose another config_file"
)

_PREDICTION_CHOICES: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "VERSION": ((2,), "write the file in the form of detectron2's current releases"),
    "INPUT.FORMAT": (("BGR", "RGB"), CORRECT_IT),
    "MODEL.META_ARCHITECTURE": (("RetinaNet", "GeneralizedRCNN"), _OTHER_NETWORKS),
    "MODEL.RESNETS.DEPTH": ((18, 34, 50, 101, 152), CORRECT_IT),
    "MODEL.RESNETS.RES5_DILATION": ((1, 2), CORRECT_IT),
    "MODEL.FPN.FUSE_TYPE": (("sum", "avg"), CORRECT_IT),
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": (BOX_LOSSES, CORRECT_IT),
    "MODEL.MASK_ON": ((False,), _ONLY_BOXES),
    "MODEL.KEYPOINT_ON": ((False,), _ONLY_BOXES),
    "MODEL.LOAD_PROPOSALS": ((False,), _ONLY_BOXES),
    "MODEL.ANCHOR_GENERATOR.NAME": (("DefaultAnchorGenerator",), _ONLY_BOXES),
}
"""Key -> the values that it may have, and the remedy."""

_TRAINING_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "FLOAT32_PRECISION": ("", "highest", "high", "medium"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "INPUT.CROP.TYPE": ("relative", "relative_range", "absolute", "absolute_range"),
    # of the others that detectron2 has, no release can make a sampler: its configuration lacks their keys
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler", "RepeatFactorTrainingSampler"),
    "SOLVER.LR_SCHEDULER_NAME": ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR"),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm"),
}


def _each(limit: Limit, length: int | None = None) -> Limit:
    """Return the limit of a list whose numbers, at any depth, all meet `limit`."""
    count = "at least one number" if length is None else f"{length} numbers"

    def holds(values: Any) -> bool:
        numbers = list(_numbers(values))
        return bool(numbers) and length in (None, len(values)) and all(map(limit.holds, numbers))

    return Limit(f"{count}, each {limit.expected}", holds)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    else:
        yield value


_GN_GROUPS = 32
_ABOVE_0 = Limit("above 0", lambda number: number > 0)
_FROM_0 = Limit("at least 0", lambda number: number >= 0)
_FROM_1 = Limit("at least 1", lambda number: number >= 1)
# more than any machine can compute, and far less than where torch's sizes overflow
_CHANNELS = Limit("from 1 to 65536", lambda number: 1 <= number <= 65536)
_LAYERS = Limit("from 0 to 100", lambda number: 0 <= number <= 100)
_LONGEST_EDGE = Limit(f"from 1 to {MAX_LONGEST_EDGE}", lambda number: 1 <= number <= MAX_LONGEST_EDGE)
_EDGE = Limit(f"from 1 to {MAX_EDGE}", lambda number: 1 <= number <= MAX_EDGE)
_EDGE_OR_0 = from_0_to(MAX_EDGE)  # 0: images are not resized
_BATCH = Limit("from 1 to 65536", lambda number: 1 <= number <= 65536)
_ANCHOR = Limit("above 0 and at most 1e6", lambda number: 0 < number <= 1e6)
_RATIO = Limit("from 1e-6 to 1e6", lambda number: 1e-6 <= number <= 1e6)
_SHARE = Limit("between 0 and 1", lambda number: 0 <= number <= 1)
_STEPS = Limit("steps from 1 on", lambda steps: all(step >= 1 for step in steps))

_PREDICTION_LIMITS: Mapping[str, Limit] = {
    "INPUT.MIN_SIZE_TEST": _EDGE_OR_0,
    "INPUT.MAX_SIZE_TEST": _LONGEST_EDGE,
    "MODEL.PIXEL_MEAN": _each(Limit("a number", lambda number: True), 3),
    "MODEL.PIXEL_STD": _each(_ABOVE_0, 3),
    "MODEL.RESNETS.NUM_GROUPS": _CHANNELS,
    "MODEL.RESNETS.WIDTH_PER_GROUP": _CHANNELS,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": _CHANNELS,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": _CHANNELS,
    "MODEL.FPN.OUT_CHANNELS": _CHANNELS,
    "MODEL.ANCHOR_GENERATOR.SIZES": _each(_ANCHOR),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": _each(_RATIO),
    "MODEL.ANCHOR_GENERATOR.OFFSET": Limit("at least 0 and below 1", lambda offset: 0 <= offset < 1),
    "MODEL.RETINANET.NUM_CONVS": _LAYERS,
    "MODEL.RETINANET.SCORE_THRESH_TEST": _SHARE,
    "MODEL.RETINANET.NMS_THRESH_TEST": _SHARE,
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST": _FROM_1,
    "MODEL.RETINANET.BBOX_REG_WEIGHTS": _each(_ABOVE_0, 4),
    "MODEL.RETINANET.PRIOR_PROB": Limit("above 0 and below 1", lambda share: 0 < share < 1),
    "MODEL.RPN.NMS_THRESH": _SHARE,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": _FROM_1,
    "MODEL.RPN.POST_NMS_TOPK_TEST": _FROM_1,
    "MODEL.RPN.BBOX_REG_WEIGHTS": _each(_ABOVE_0, 4),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": _SHARE,
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": _SHARE,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": _each(_ABOVE_0, 4),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": _FROM_1,
    "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS": _each(_ABOVE_0),
    "TEST.AUG.MIN_SIZES": _each(_EDGE),
    "TEST.AUG.MAX_SIZE": _LONGEST_EDGE,
}
"""Of the network and of predictions, which training needs as well."""

_TRAINING_LIMITS: Mapping[str, Limit] = {
    "INPUT.MIN_SIZE_TRAIN": _each(_EDGE_OR_0),
    "INPUT.MAX_SIZE_TRAIN": _LONGEST_EDGE,
    "INPUT.CROP.SIZE": _each(_ABOVE_0, 2),
    "DATALOADER.NUM_WORKERS": _FROM_0,
    "DATALOADER.REPEAT_THRESHOLD": _FROM_0,
    "MODEL.BACKBONE.FREEZE_AT": _FROM_0,
    "MODEL.RETINANET.FOCAL_LOSS_ALPHA": Limit("at most 1; below 0 for no weights", lambda alpha: alpha <= 1),
    "MODEL.RETINANET.FOCAL_LOSS_GAMMA": _FROM_0,
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": _FROM_0,
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": _FROM_1,
    "MODEL.RPN.POSITIVE_FRACTION": _SHARE,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": _FROM_1,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": _FROM_1,
    "MODEL.RPN.SMOOTH_L1_BETA": _FROM_0,
    "MODEL.RPN.LOSS_WEIGHT": _FROM_0,
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": _FROM_0,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": _FROM_1,
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": _SHARE,
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": _FROM_0,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT": _FROM_0,
    "MODEL.ROI_BOX_CASCADE_HEAD.IOUS": _each(_SHARE),
    "SOLVER.MAX_ITER": _FROM_1,
    "SOLVER.IMS_PER_BATCH": _BATCH,
    "SOLVER.BASE_LR": _ABOVE_0,
    "SOLVER.BASE_LR_END": _FROM_0,
    "SOLVER.MOMENTUM": Limit("at least 0 and below 1", lambda momentum: 0 <= momentum < 1),
    "SOLVER.WEIGHT_DECAY": _FROM_0,
    "SOLVER.WEIGHT_DECAY_NORM": _FROM_0,
    "SOLVER.WEIGHT_DECAY_BIAS": Limit("at least 0, or None", lambda decay: decay is None or decay >= 0),
    "SOLVER.BIAS_LR_FACTOR": _FROM_0,
    "SOLVER.GAMMA": _ABOVE_0,
    "SOLVER.STEPS": _STEPS,
    "SOLVER.NUM_DECAYS": _FROM_0,
    "SOLVER.WARMUP_FACTOR": _FROM_0,
    "SOLVER.WARMUP_ITERS": _FROM_0,
    "SOLVER.CHECKPOINT_PERIOD": _FROM_0,
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": _ABOVE_0,
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": _ABOVE_0,
    "TEST.EVAL_PERIOD": _FROM_0,
    "TEST.PRECISE_BN.NUM_ITER": _FROM_1,
}


def check_values(cfg: Mapping[str, Any], *, training: bool = False) -> None:
    """Refuse values that no network of boxes can have; with `training`, also those that no training can have.

    Raises:
        ConfigError: names the key, its value and what it must be.
    """
    choices = {**_PREDICTION_CHOICES}
    if training:
        choices.update({key: (allowed, CORRECT_IT) for key, allowed in _TRAINING_CHOICES.items()})
    for key, (allowed, remedy) in choices.items():
        require_choice(cfg, key, allowed, remedy)
    for key, value in cfg.items():
        numbers = [number for number in _numbers(value) if isinstance(number, float)]
        # YAML has .nan and .inf, and 1e999 is an infinity as well; the norm of infinite order is the largest element
        if key != "SOLVER.CLIP_GRADIENTS.NORM_TYPE" and not all(map(math.isfinite, numbers)):
            raise _refusal(key, value, "finite")
    for key, limit in {**_PREDICTION_LIMITS, **(_TRAINING_LIMITS if training else {})}.items():
        if key in cfg:  # a configuration has the keys of its engine
            _require_limit(cfg, key, limit)
    _check_heads(cfg)
    _check_group_norm(cfg)


def check_schedule(cfg: Mapping[str, Any]) -> None:
    """Refuse numbers from which the schedule of a run cannot be computed, whatever form and args_options decide later.

    Raises:
        ConfigError: as `check_values`.
    """
    for key in ("SOLVER.MAX_ITER", "SOLVER.IMS_PER_BATCH", "SOLVER.BASE_LR", "TEST.EVAL_PERIOD"):
        _require_limit(cfg, key, _TRAINING_LIMITS[key])


def require_choice(cfg: Mapping[str, Any], key: str, allowed: Sequence[Any], remedy: str) -> None:
    """Raise ConfigError, with key, value and remedy, unless the value is one of those that are allowed."""
    if cfg[key] not in allowed:
        names = " or ".join(repr(value) for value in allowed)
        raise ConfigError(f"{key} is {briefly(cfg[key])}, expected {names}; {remedy}")


def _require_limit(cfg: Mapping[str, Any], key: str, limit: Limit) -> None:
    if not limit.holds(cfg[key]):
        raise _refusal(key, cfg[key], limit.expected)


def _check_heads(cfg: Mapping[str, Any]) -> None:
    is_retinanet = cfg["MODEL.META_ARCHITECTURE"] == "RetinaNet"
    for section in ["MODEL.RETINANET"] if is_retinanet else ["MODEL.RPN", "MODEL.ROI_HEADS"]:
        thresholds, labels = cfg.get(f"{section}.IOU_THRESHOLDS"), cfg.get(f"{section}.IOU_LABELS")
        if thresholds is None or labels is None:
            continue  # a head that this engine does not have
        if list(thresholds) != sorted(thresholds) or min(thresholds, default=1) <= 0:
            raise _refusal(f"{section}.IOU_THRESHOLDS", thresholds, "rising numbers above 0")
        # n thresholds make n + 1 ranges of IoU: from 0 to the first one, ..., from the last one to 1
        if len(labels) != len(thresholds) + 1 or not set(labels) <= {-1, 0, 1}:
            expected = f"{len(thresholds) + 1} of -1, 0, 1, one per range of IoU"
            raise _refusal(f"{section}.IOU_LABELS", labels, expected)
    if is_retinanet and cfg["TEST.DETECTIONS_PER_IMAGE"] < 1:  # for other networks, -1 means all
        raise _refusal("TEST.DETECTIONS_PER_IMAGE", cfg["TEST.DETECTIONS_PER_IMAGE"], "at least 1")


def _check_group_norm(cfg: Mapping[str, Any]) -> None:
    """Refuse numbers of channels that GN cannot divide into its groups; detectron2's and ours are 32."""
    resnets, fpn = "MODEL.RESNETS.", ("MODEL.FPN.OUT_CHANNELS", cfg["MODEL.FPN.OUT_CHANNELS"])
    bottleneck = (resnets + "WIDTH_PER_GROUP", cfg[resnets + "WIDTH_PER_GROUP"] * cfg[resnets + "NUM_GROUPS"])
    outputs = (resnets + "STEM_OUT_CHANNELS", resnets + "RES2_OUT_CHANNELS")
    layers = [(resnets + "NORM", (key, cfg[key])) for key in outputs]
    layers += [(resnets + "NORM", bottleneck)] * (cfg[resnets + "DEPTH"] >= 50)  # shallower ones have none
    for norm_key, (key, channels) in [*layers, ("MODEL.FPN.NORM", fpn), ("MODEL.RETINANET.NORM", fpn)]:
        if cfg.get(norm_key) == "GN" and channels % _GN_GROUPS:
            raise ConfigError(
                f"{key} makes {channels} channels, must be a multiple of {_GN_GROUPS} for {norm_key} GN; {CORRECT_IT}"
            )


def check_combinations(cfg: Mapping[str, Any]) -> None:
    """Refuse values of the resolved configuration of a training that contradict each other.

    Raises:
        ConfigError: names a key, its value and what it must be next to the others.
    """
    sizes = cfg["INPUT.MIN_SIZE_TRAIN"]
    if cfg["INPUT.MIN_SIZE_TRAIN_SAMPLING"] == "range" and not (len(sizes) == 2 and sizes[0] <= sizes[1]):
        expected = "the smallest and the largest size, for INPUT.MIN_SIZE_TRAIN_SAMPLING range"
        raise _refusal("INPUT.MIN_SIZE_TRAIN", sizes, expected)
    if cfg["SOLVER.NESTEROV"] and not cfg["SOLVER.MOMENTUM"]:
        raise _refusal("SOLVER.MOMENTUM", cfg["SOLVER.MOMENTUM"], "above 0, for SOLVER.NESTEROV")
    if cfg["SOLVER.LR_SCHEDULER_NAME"] == "WarmupCosineLR" and cfg["SOLVER.BASE_LR_END"] > cfg["SOLVER.BASE_LR"]:
        expected = f"at most the learning rate of the beginning, {cfg['SOLVER.BASE_LR']:g}"
        raise _refusal("SOLVER.BASE_LR_END", cfg["SOLVER.BASE_LR_END"], expected)
    crop_sides = cfg["INPUT.CROP.SIZE"]
    if cfg["INPUT.CROP.ENABLED"] and cfg["INPUT.CROP.TYPE"].startswith("relative") and max(crop_sides) > 1:
        raise _refusal("INPUT.CROP.SIZE", crop_sides, f"shares of the sides, at most 1, for {cfg['INPUT.CROP.TYPE']}")


def _refusal(key: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(f"{key} is {briefly(value)}, must be {expected}; {CORRECT_IT}")
