"""Keys of detectron2 that are accepted and change nothing in a run, with the reason: a user is told, not left to guess.

Example: SOLVER.NUM_DECAYS, where SOLVER.LR_SCHEDULER_NAME is another than WarmupStepWithFixedGammaLR.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, NamedTuple

from .model_keys import is_within

Config = Mapping[str, Any]


class _Rule(NamedTuple):
    keys: tuple[str, ...]
    """Keys, and sections as a whole."""
    reason: str
    """Completes "has no effect: ..."; {KEY} stands for the value of a key."""
    applies: Callable[[Config], bool] = lambda cfg: True


def _unless(key: str, value: Any, *keys: str) -> _Rule:
    """Return the rule for keys that are read only where another key has a value."""
    return _Rule(keys, f"{key} is {{{key}}}", lambda cfg: cfg[key] != value)


def _is_retinanet(cfg: Config) -> bool:
    return bool(cfg["MODEL.META_ARCHITECTURE"] == "RetinaNet")


_ALWAYS = (
    _Rule(
        ("SOLVER.REFERENCE_WORLD_SIZE",),
        "batch size, learning rate and steps are those of all processes together, whatever their number",
    ),
    _Rule(("TEST.EXPECTED_RESULTS",), "results are not compared with published ones"),
    _Rule(("VIS_PERIOD",), "plots are made of the best stage"),
    _Rule(("GLOBAL",), "no network reads it"),
    _Rule(
        (
            "DATASETS.PROPOSAL_FILES_TRAIN", "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN",
            "DATASETS.PROPOSAL_FILES_TEST", "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST",
        ),
        "proposals are not read from files",
    ),
    _Rule(
        (
            "INPUT.MASK_FORMAT", "MODEL.ANCHOR_GENERATOR.ANGLES", "MODEL.PANOPTIC_FPN", "MODEL.ROI_KEYPOINT_HEAD",
            "MODEL.ROI_MASK_HEAD", "MODEL.SEM_SEG_HEAD", "TEST.KEYPOINT_OKS_SIGMAS",
        ),
        "upright boxes alone are predicted",
    ),
    _Rule(
        (
            "MODEL.PROPOSAL_GENERATOR", "MODEL.ROI_BOX_CASCADE_HEAD", "MODEL.ROI_BOX_HEAD", "MODEL.ROI_HEADS",
            "MODEL.RPN",
        ),
        "a RetinaNet has no such part", _is_retinanet,
    ),
    _Rule(("MODEL.RETINANET",), "the network is no RetinaNet", lambda cfg: not _is_retinanet(cfg)),
    _Rule(
        ("MODEL.ROI_BOX_CASCADE_HEAD",), "MODEL.ROI_HEADS.NAME is {MODEL.ROI_HEADS.NAME}",
        lambda cfg: not _is_retinanet(cfg) and cfg["MODEL.ROI_HEADS.NAME"] != "CascadeROIHeads",
    ),
    _Rule(
        (
            "MODEL.ROI_BOX_HEAD.CONV_DIM", "MODEL.ROI_BOX_HEAD.FC_DIM", "MODEL.ROI_BOX_HEAD.NAME",
            "MODEL.ROI_BOX_HEAD.NORM", "MODEL.ROI_BOX_HEAD.NUM_CONV", "MODEL.ROI_BOX_HEAD.NUM_FC",
            "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES",
        ),
        "the head is stage 5 of the ResNet",
        lambda cfg: not _is_retinanet(cfg) and cfg["MODEL.ROI_HEADS.NAME"] == "Res5ROIHeads",
    ),
    _Rule(
        ("MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER", "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES"),
        "federated loss is for LVIS",
    ),
    _Rule(("MODEL.FPN",), "the backbone has no pyramid", lambda cfg: "fpn" not in cfg["MODEL.BACKBONE.NAME"]),
    _Rule(
        ("MODEL.RESNETS.DEFORM_MODULATED", "MODEL.RESNETS.DEFORM_NUM_GROUPS"),
        "MODEL.RESNETS.DEFORM_ON_PER_STAGE is False for all stages",
        lambda cfg: not any(cfg["MODEL.RESNETS.DEFORM_ON_PER_STAGE"]),
    ),
    _unless("TEST.AUG.ENABLED", True, "TEST.AUG.FLIP", "TEST.AUG.MAX_SIZE", "TEST.AUG.MIN_SIZES"),
)  # fmt: skip

_IN_TRAINING = (
    _unless("SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS"),
    _unless("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "SOLVER.BASE_LR_END"),
    _unless("SOLVER.LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR", "SOLVER.NUM_DECAYS"),
    _Rule(
        ("SOLVER.GAMMA",), "SOLVER.LR_SCHEDULER_NAME is WarmupCosineLR",
        lambda cfg: cfg["SOLVER.LR_SCHEDULER_NAME"] == "WarmupCosineLR",
    ),
    _Rule(
        ("SOLVER.STEPS",), "the training ends after {SOLVER.MAX_ITER} steps",
        lambda cfg: bool(cfg["SOLVER.STEPS"]) and min(cfg["SOLVER.STEPS"]) >= cfg["SOLVER.MAX_ITER"],
    ),
    _Rule(
        ("SOLVER.WARMUP_FACTOR", "SOLVER.WARMUP_METHOD", "SOLVER.RESCALE_INTERVAL"), "there is no warm-up",
        lambda cfg: cfg["SOLVER.WARMUP_ITERS"] == 0,
    ),
    _unless(
        "SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "SOLVER.CLIP_GRADIENTS.CLIP_VALUE",
        "SOLVER.CLIP_GRADIENTS.NORM_TYPE",
    ),
    _unless("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm", "SOLVER.CLIP_GRADIENTS.NORM_TYPE"),
    _unless("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "INPUT.CROP.SIZE"),
    _unless("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER"),
    _unless(
        "DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "DATALOADER.REPEAT_THRESHOLD",
        "DATALOADER.REPEAT_SQRT",
    ),
    _unless("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "smooth_l1", "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA"),
)  # fmt: skip

_IN_PREDICTION = (
    _Rule(
        (
            "DATALOADER", "INPUT.CROP", "INPUT.MAX_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN_SAMPLING",
            "INPUT.RANDOM_FLIP", "MODEL.BACKBONE.FREEZE_AT", "MODEL.RETINANET.BBOX_REG_LOSS_TYPE",
            "MODEL.RETINANET.FOCAL_LOSS_ALPHA", "MODEL.RETINANET.FOCAL_LOSS_GAMMA", "MODEL.RETINANET.IOU_LABELS",
            "MODEL.RETINANET.IOU_THRESHOLDS", "MODEL.RETINANET.PRIOR_PROB", "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA",
            "MODEL.ROI_BOX_CASCADE_HEAD.IOUS", "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE",
            "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT", "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA",
            "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE",
            "MODEL.ROI_HEADS.IOU_LABELS", "MODEL.ROI_HEADS.IOU_THRESHOLDS", "MODEL.ROI_HEADS.POSITIVE_FRACTION",
            "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", "MODEL.RPN.BATCH_SIZE_PER_IMAGE", "MODEL.RPN.BBOX_REG_LOSS_TYPE",
            "MODEL.RPN.BBOX_REG_LOSS_WEIGHT", "MODEL.RPN.BOUNDARY_THRESH", "MODEL.RPN.IOU_LABELS",
            "MODEL.RPN.IOU_THRESHOLDS", "MODEL.RPN.LOSS_WEIGHT", "MODEL.RPN.POSITIVE_FRACTION",
            "MODEL.RPN.POST_NMS_TOPK_TRAIN", "MODEL.RPN.PRE_NMS_TOPK_TRAIN", "MODEL.RPN.SMOOTH_L1_BETA",
            "SEED", "SOLVER", "TEST.EVAL_PERIOD", "TEST.PRECISE_BN",
        ),
        "nothing is trained",
    ),
    _Rule(("MODEL.WEIGHTS",), "the task names the model"),
)  # fmt: skip

_WITHOUT_GPU = (_Rule(("CUDNN_BENCHMARK", "FLOAT32_PRECISION"), "it is for a GPU"),)

_DECIDED_BY_THE_FORM = {"SEED": "seed", "DATALOADER.NUM_WORKERS": "num_workers", "SOLVER.AMP.ENABLED": "precision"}
"""Keys that a config_file sets in vain, and those of config.yaml that decide instead."""


def ineffective_options(cfg: Config, keys: Iterable[str], *, training: bool, on_gpu: bool) -> list[str]:
    """Return a sentence for each key of args_options that changes nothing.

    Args:
        cfg: the resolved configuration.
        keys: those that args_options set; also such as this engine does not have at all.
    """
    rules = (*_ALWAYS, *(_IN_TRAINING if training else _IN_PREDICTION), *(() if on_gpu else _WITHOUT_GPU))
    reasons = ((key, _reason(cfg, key, rules)) for key in keys)
    return [f"args_options: {key} has no effect: {reason}" for key, reason in reasons if reason]


def ineffective_values(cfg: Config, of_file: Config, defaults: Config) -> list[str]:
    """Return a sentence for each value of a config_file that its writer meant to change a training, and that does not.

    Args:
        cfg: the resolved configuration.
        of_file: that of the file over the defaults.
    """
    changed = [key for key in of_file if of_file[key] != defaults[key]]
    sentences = {
        key: f"the key {name} of config.yaml decides"
        for key, name in _DECIDED_BY_THE_FORM.items() if key in changed and of_file[key] != cfg[key]
    }  # fmt: skip
    if "SOLVER.REFERENCE_WORLD_SIZE" in changed:
        sentences["SOLVER.REFERENCE_WORLD_SIZE"] = _reason(cfg, "SOLVER.REFERENCE_WORLD_SIZE", _ALWAYS)
    return [f"config_file: {key} {of_file[key]!r} has no effect: {reason}" for key, reason in sentences.items()]


def _reason(cfg: Config, key: str, rules: Iterable[_Rule]) -> str:
    """Return why a key has no effect; '' if it has one."""
    for rule in rules:
        if is_within(key, rule.keys) and rule.applies(cfg):
            # not str.format, which would take the dots of a key for attributes
            return _fill(rule.reason, cfg)
    return ""


def _fill(reason: str, cfg: Config) -> str:
    before, brace, rest = reason.partition("{")
    key, _, after = rest.partition("}")
    return f"{before}{cfg[key]}{after}" if brace else reason
