"""Networks and trainings that the `torch` engine does not support are refused, by key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.config.supported import check_supported
from ymir_detectron2.errors import ConfigError

RETINANET = Path(__file__).resolve().parents[2] / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN"),
        ("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"),
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]),
        ("MODEL.RESNETS.NORM", "naiveSyncBN"),
        ("INPUT.CROP.ENABLED", True),
        ("TEST.PRECISE_BN.ENABLED", True),
    ],
)
def test_what_only_detectron2_can_do_is_refused_by_name(key, value):
    cfg = load_config(RETINANET).merged({key: value}, "here")
    with pytest.raises(ConfigError, match=f"{key}.*engine: detectron2"):
        check_supported(cfg, training=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.RESNETS.DEPTH", 51),
        ("MODEL.RESNETS.OUT_FEATURES", ["res3", "res4"]),
        ("MODEL.FPN.IN_FEATURES", ["res2", "res3"]),
        ("MODEL.FPN.FUSE_TYPE", "max"),
        ("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "l2"),
        ("MODEL.RETINANET.IOU_LABELS", [0, 1]),
        ("MODEL.RETINANET.IOU_THRESHOLDS", [0.5, 0.4]),
        ("MODEL.RETINANET.NUM_CONVS", 0),
        ("MODEL.PIXEL_STD", [1.0, 0.0, 1.0]),
    ],
)
def test_what_no_engine_can_do_names_the_key(key, value):
    cfg = load_config(RETINANET).merged({key: value}, "here")
    with pytest.raises(ConfigError, match=key):
        check_supported(cfg)


def test_a_network_that_no_engine_builds_is_not_sent_to_the_other_engine():
    cfg = load_config(RETINANET).merged({"MODEL.META_ARCHITECTURE": "FCOS"}, "here")
    with pytest.raises(ConfigError, match=r"META_ARCHITECTURE is 'FCOS', .* lazy configs only, which are") as failure:
        check_supported(cfg)
    assert "engine: detectron2" not in str(failure.value)


@pytest.mark.parametrize("training", [False, True])
def test_test_time_augmentation_is_accepted(training: bool):
    check_supported(load_config(RETINANET).merged({"TEST.AUG.ENABLED": True}, "here"), training=training)


def test_a_crop_in_training_does_not_stand_in_the_way_of_inference():
    check_supported(load_config(RETINANET).merged({"INPUT.CROP.ENABLED": True}, "here"))
