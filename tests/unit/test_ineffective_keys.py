"""Keys that change nothing are named with the reason; every key is either read by the torch engine or among them."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from tests.running import PROJECT_DIR, TINY_CONFIG
from ymir_detectron2.config.defaults import DEFAULTS, NEVER_READ
from ymir_detectron2.config.ineffective_keys import ineffective_options, ineffective_values
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.training.resolve_config import require_free

TINY = load_config(TINY_CONFIG)
COSINE = {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR"}
CROP = {"INPUT.CROP.ENABLED": True}
AUG = {"TEST.AUG.ENABLED": True}
NO_CLIPPING = {"SOLVER.CLIP_GRADIENTS.ENABLED": False}
RCNN = {"MODEL.META_ARCHITECTURE": "GeneralizedRCNN", "MODEL.ROI_HEADS.NAME": "StandardROIHeads"}
CASCADE = {**RCNN, "MODEL.ROI_HEADS.NAME": "CascadeROIHeads"}


def reason(key: str, values: Mapping[str, Any], *, training: bool = True, on_gpu: bool = True) -> str:
    """What the sentence about a key gives as the reason; '' if there is none."""
    sentences = ineffective_options({**TINY, **values}, [key], training=training, on_gpu=on_gpu)
    prefix = f"args_options: {key} has no effect: "
    assert all(sentence.startswith(prefix) for sentence in sentences)
    return sentences[0][len(prefix) :] if sentences else ""


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("SOLVER.REFERENCE_WORLD_SIZE", {}, "batch size, learning rate and steps are those of all processes together"),
        ("VIS_PERIOD", {}, "plots"),
        ("GLOBAL.HACK", {}, "no network"),
        ("DATASETS.PROPOSAL_FILES_TRAIN", {}, "proposals"),
        ("INPUT.MASK_FORMAT", {}, "upright boxes"),
        ("MODEL.SEM_SEG_HEAD.NORM", {}, "upright boxes"),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", {}, "a RetinaNet has no such part"),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", RCNN, ""),
        ("MODEL.RPN.NMS_THRESH", {}, "a RetinaNet has no such part"),
        ("MODEL.RPN.NMS_THRESH", RCNN, ""),
        ("MODEL.RETINANET.SCORE_THRESH_TEST", {}, ""),
        ("MODEL.RETINANET.SCORE_THRESH_TEST", RCNN, "the network is no RetinaNet"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.IOUS", RCNN, "MODEL.ROI_HEADS.NAME is StandardROIHeads"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.IOUS", CASCADE, ""),
        ("MODEL.ROI_BOX_HEAD.FC_DIM", RCNN, ""),
        ("MODEL.ROI_BOX_HEAD.FC_DIM", {**RCNN, "MODEL.ROI_HEADS.NAME": "Res5ROIHeads"}, "stage 5 of the ResNet"),
        ("MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES", RCNN, "federated loss"),
        ("MODEL.FPN.NORM", {}, ""),
        ("MODEL.FPN.NORM", {"MODEL.BACKBONE.NAME": "build_resnet_backbone"}, "the backbone has no pyramid"),
        ("MODEL.RESNETS.DEFORM_MODULATED", {}, "MODEL.RESNETS.DEFORM_ON_PER_STAGE"),
        ("MODEL.RESNETS.DEFORM_MODULATED", {"MODEL.RESNETS.DEFORM_ON_PER_STAGE": (True, False, False, False)}, ""),
        ("SOLVER.STEPS", {}, ""),
        ("SOLVER.STEPS", COSINE, "SOLVER.LR_SCHEDULER_NAME is WarmupCosineLR"),
        ("SOLVER.STEPS", {"SOLVER.STEPS": (60000, 80000)}, "the training ends after 100 steps"),
        ("SOLVER.STEPS", {"SOLVER.STEPS": ()}, ""),
        ("SOLVER.GAMMA", {}, ""),
        ("SOLVER.GAMMA", COSINE, "SOLVER.LR_SCHEDULER_NAME is WarmupCosineLR"),
        ("SOLVER.BASE_LR_END", {}, "SOLVER.LR_SCHEDULER_NAME is WarmupMultiStepLR"),
        ("SOLVER.BASE_LR_END", COSINE, ""),
        ("SOLVER.NUM_DECAYS", {}, "SOLVER.LR_SCHEDULER_NAME is WarmupMultiStepLR"),
        ("SOLVER.WARMUP_FACTOR", {}, ""),
        ("SOLVER.WARMUP_FACTOR", {"SOLVER.WARMUP_ITERS": 0}, "there is no warm-up"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", {}, ""),
        ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", NO_CLIPPING, "SOLVER.CLIP_GRADIENTS.ENABLED is False"),
        ("SOLVER.CLIP_GRADIENTS.NORM_TYPE", {"SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "value"}, "CLIP_TYPE is value"),
        ("INPUT.CROP.SIZE", {}, "INPUT.CROP.ENABLED is False"),
        ("INPUT.CROP.SIZE", CROP, ""),
        ("TEST.AUG.MIN_SIZES", {}, "TEST.AUG.ENABLED is False"),
        ("TEST.AUG.MIN_SIZES", AUG, ""),
        ("TEST.PRECISE_BN.NUM_ITER", {}, "TEST.PRECISE_BN.ENABLED is False"),
        ("DATALOADER.REPEAT_THRESHOLD", {}, "DATALOADER.SAMPLER_TRAIN is TrainingSampler"),
        ("MODEL.RETINANET.SMOOTH_L1_LOSS_BETA", {"MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "giou"}, "LOSS_TYPE is giou"),
        ("SOLVER.BASE_LR", {}, ""),
        ("SEED", {}, ""),
        ("CUDNN_BENCHMARK", {}, ""),
    ],
)
def test_a_key_of_a_training(key: str, values: Mapping[str, Any], expected: str):
    found = reason(key, values)
    assert bool(found) is bool(expected)
    assert expected in found
    assert "{" not in found


@pytest.mark.parametrize("key", ["SOLVER.BASE_LR", "DATALOADER.NUM_WORKERS", "INPUT.MIN_SIZE_TRAIN", "SEED"])
def test_nothing_is_trained_by_a_detector(key: str):
    assert reason(key, {}, training=False) == "nothing is trained"
    assert reason(key, {}) == ""


@pytest.mark.parametrize("key", ["INPUT.MIN_SIZE_TEST", "MODEL.RETINANET.NMS_THRESH_TEST", "TEST.DETECTIONS_PER_IMAGE"])
def test_a_detector_has_keys_of_its_own(key: str):
    assert reason(key, {}, training=False) == ""


@pytest.mark.parametrize("key", ["CUDNN_BENCHMARK", "FLOAT32_PRECISION"])
@pytest.mark.parametrize("training", [False, True])
def test_two_keys_are_for_a_gpu(key: str, training: bool):
    assert reason(key, {}, training=training, on_gpu=False) == "it is for a GPU"
    assert reason(key, {}, training=training) == ""


DATASETS = ("TRAIN", "TEST", "PROPOSAL_FILES_TRAIN", "PROPOSAL_FILES_TEST",
            "PRECOMPUTED_PROPOSAL_TOPK_TRAIN", "PRECOMPUTED_PROPOSAL_TOPK_TEST")  # fmt: skip
DROPPED = [*(key for key in NEVER_READ if key != "DATASETS"), *(f"DATASETS.{name}" for name in DATASETS)]


@pytest.mark.parametrize("key", DROPPED)
def test_what_the_torch_engine_drops_is_refused_or_named(key: str):
    if reason(key, {}):
        return
    with pytest.raises(ConfigError, match=key):
        require_free({key: ""})


def test_a_file_is_told_what_the_form_decides_and_no_more():
    written = {
        "SEED": 42, "DATALOADER.NUM_WORKERS": 7, "SOLVER.AMP.ENABLED": True, "SOLVER.REFERENCE_WORLD_SIZE": 8,
        "SOLVER.BASE_LR": 0.5, "SOLVER.CHECKPOINT_PERIOD": 3,
    }  # fmt: skip
    of_file = TINY.merged(written, "test")
    resolved = of_file.merged({"SEED": 0, "DATALOADER.NUM_WORKERS": 1, "SOLVER.AMP.ENABLED": False}, "test")
    assert ineffective_values(resolved, of_file, DEFAULTS) == [
        "config_file: SEED 42 has no effect: the key seed of config.yaml decides",
        "config_file: DATALOADER.NUM_WORKERS 7 has no effect: the key num_workers of config.yaml decides",
        "config_file: SOLVER.AMP.ENABLED True has no effect: the key precision of config.yaml decides",
        "config_file: SOLVER.REFERENCE_WORLD_SIZE 8 has no effect: batch size, learning rate and steps are those of all"
        " processes together, whatever their number",
    ]
    assert ineffective_values(of_file.merged({"SOLVER.REFERENCE_WORLD_SIZE": 0}, "test"), TINY, DEFAULTS) == []
    same = {"SEED": 42, "DATALOADER.NUM_WORKERS": 7, "SOLVER.AMP.ENABLED": True}
    assert ineffective_values(TINY.merged(same, "test"), TINY.merged(same, "test"), DEFAULTS) == [], "they agree"


ONE_VALUE = {
    "VERSION", "MODEL.BACKBONE.NAME", "MODEL.META_ARCHITECTURE", "MODEL.MASK_ON", "MODEL.KEYPOINT_ON",
    "MODEL.LOAD_PROPOSALS", "INPUT.CROP.ENABLED", "TEST.PRECISE_BN.ENABLED", "MODEL.ANCHOR_GENERATOR.NAME",
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE",
}  # fmt: skip
"""Keys of which the torch engine refuses all values but one, see test_supported.py and test_accepted_values.py."""
CHECKED = {"MODEL.RETINANET.NUM_CLASSES"}  # args_options may set it to the number of class_names


def test_every_key_of_the_torch_engine_is_read_or_named():
    """Read: by its full name, in the modules that this engine runs."""
    package = PROJECT_DIR / "ymir_detectron2"
    folders = ("dataset", "engines", "inference", "mining", "retinanet", "tasks", "training")
    files = [file for folder in folders for file in (package / folder).rglob("*.py")]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files if file.parent.name != "detectron2_engine")
    unread = {key for key in DEFAULTS if f'"{key}"' not in source} - ONE_VALUE - CHECKED
    assert "SOLVER.REFERENCE_WORLD_SIZE" in unread
    assert [key for key in sorted(unread) if not reason(key, {}, on_gpu=False)] == []
