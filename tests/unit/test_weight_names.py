"""Names of Caffe2, torchvision and detectron2's ImageNet files become those of the model."""

from __future__ import annotations

import pytest
import torch

from ymir_detectron2.retinanet.weight_names import caffe2_name, to_model_names, torchvision_name

ONE = torch.ones(1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_var", "stem.conv1.norm.running_var"),
        ("layer1.0.conv1.weight", "res2.0.conv1.weight"),
        ("layer4.2.bn3.bias", "res5.2.conv3.norm.bias"),
        ("layer2.0.downsample.0.weight", "res3.0.shortcut.weight"),
        ("layer2.0.downsample.1.weight", "res3.0.shortcut.norm.weight"),
        ("fc.weight", "stem.fc.weight"),
    ],
)
def test_torchvision_names(name, expected):
    assert torchvision_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("res4_22_branch2c_bn_running_mean", "res4.22.conv3.norm.running_mean"),
        ("res4_22_branch2c_bn_riv", "res4.22.conv3.norm.running_var"),
        ("res5_0_branch1_gn_s", "res5.0.shortcut.norm.weight"),
        ("conv1_b", "stem.conv1.bias"),
        ("fpn_inner_res5_2_sum_w", "fpn_lateral5.weight"),
        ("fpn_res3_3_sum_b", "fpn_output3.bias"),
        ("lr", "lr"),
    ],
)
def test_caffe2_names(name, expected):
    assert caffe2_name(name) == expected


def renamed(*names):
    return list(to_model_names(dict.fromkeys(names, ONE)))


def test_the_programs_are_told_apart_by_the_whole_file():
    """`conv1.weight` is the stem in a file of torchvision, and nothing known elsewhere."""
    assert renamed("conv1.weight", "layer1.0.conv1.weight") == [
        "backbone.bottom_up.stem.conv1.weight", "backbone.bottom_up.res2.0.conv1.weight",
    ]  # fmt: skip
    assert renamed("conv1.weight") == ["conv1.weight"]


def test_bare_backbone_names_get_their_place_in_the_detector():
    assert renamed("stem.conv1.weight", "res5.2.conv3.norm.bias", "fpn_lateral3.weight", "fpn_output5.bias") == [
        "backbone.bottom_up.stem.conv1.weight", "backbone.bottom_up.res5.2.conv3.norm.bias",
        "backbone.fpn_lateral3.weight", "backbone.fpn_output5.bias",
    ]  # fmt: skip


def test_caffe2s_momentum_is_dropped():
    assert renamed("res2_0_branch2a_w", "res2_0_branch2a_w_momentum") == ["backbone.bottom_up.res2.0.conv1.weight"]


def test_the_prefix_of_distributed_training_goes_only_where_all_names_have_it():
    assert renamed("module.stem.conv1.weight") == ["backbone.bottom_up.stem.conv1.weight"]
    assert renamed("module.stem.conv1.weight", "head.x") == ["module.stem.conv1.weight", "head.x"]


def test_names_of_the_model_stay():
    names = ["backbone.bottom_up.stem.conv1.weight", "head.cls_score.bias"]
    assert renamed(*names) == names
    assert renamed() == []
