"""ResNet backbones: structure, names, strides, and freezing of the first stages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.retinanet.layers import FrozenBatchNorm2d
from ymir_detectron2.retinanet.resnet import BLOCKS_PER_STAGE, BasicBlock, BottleneckBlock, ResNet, build_resnet


def resnet(**changes: object) -> ResNet:
    cfg = load_config(TINY_CONFIG).merged({f"MODEL.{key}": value for key, value in changes.items()}, "test")
    return build_resnet(cfg)


@pytest.mark.parametrize(
    ("depth", "kind"), [(18, BasicBlock), (34, BasicBlock), (50, BottleneckBlock), (101, BottleneckBlock)]
)
def test_depth_decides_the_blocks(depth: int, kind: type):
    stages = [getattr(resnet(**{"RESNETS.DEPTH": depth}), name) for name in ("res2", "res3", "res4", "res5")]
    assert tuple(len(stage) for stage in stages) == BLOCKS_PER_STAGE[depth]
    assert {type(block) for stage in stages for block in stage} == {kind}


def test_features_have_the_announced_channels_and_strides():
    network = resnet(**{"RESNETS.OUT_FEATURES": ["stem", "res2", "res3", "res5"]}).eval()
    with torch.no_grad():
        features = network(torch.randn(1, 3, 70, 90))  # no multiples: rounded up
    assert list(features) == ["stem", "res2", "res3", "res5"]
    for name, feature in features.items():
        stride = network.strides[name]
        assert feature.shape == (1, network.channels[name], -(-70 // stride), -(-90 // stride)), name
    assert (network.strides["res2"], network.strides["res5"]) == (4, 32)


def test_a_dilated_res5_keeps_the_resolution_of_res4():
    network = resnet(**{"RESNETS.RES5_DILATION": 2}).eval()
    assert network.strides["res5"] == network.strides["res4"] == 16
    with torch.no_grad():
        features = network(torch.randn(1, 3, 64, 64))
    assert features["res5"].shape[-2:] == features["res4"].shape[-2:] == (4, 4)


@pytest.mark.parametrize(("stride_in_1x1", "strides"), [(True, [(2, 2), (1, 1)]), (False, [(1, 1), (2, 2)])])
def test_the_stride_is_where_the_pretrained_weights_have_it(stride_in_1x1: bool, strides: list):
    first, second = resnet(**{"RESNETS.STRIDE_IN_1X1": stride_in_1x1}).res3[:2]
    assert [first.conv1.stride, first.conv2.stride] == strides
    assert [second.conv1.stride, second.conv2.stride] == [(1, 1), (1, 1)]


def test_only_the_first_block_of_a_stage_projects_its_shortcut():
    network = resnet()
    assert [block.shortcut is not None for block in network.res3] == [True, False, False, False]


def test_resnext_has_grouped_convolutions():
    block = resnet(**{"RESNETS.NUM_GROUPS": 4, "RESNETS.WIDTH_PER_GROUP": 2}).res3[0]
    assert (block.conv2.groups, block.conv2.out_channels) == (4, 16)  # 4 groups of 2, twice as wide as in res2


@pytest.mark.parametrize(
    ("freeze_at", "frozen"), [(0, []), (1, ["stem"]), (2, ["stem", "res2"]), (3, ["stem", "res2", "res3"])]
)
def test_freezing_stops_gradients_and_statistics_of_the_first_stages(freeze_at: int, frozen: list[str]):
    network = resnet(**{"BACKBONE.FREEZE_AT": freeze_at})
    for name in ("stem", "res2", "res3", "res4", "res5"):
        stage = getattr(network, name)
        assert all(parameter.requires_grad != (name in frozen) for parameter in stage.parameters())
        kinds = {type(module) for module in stage.modules() if isinstance(module, (nn.BatchNorm2d, FrozenBatchNorm2d))}
        assert kinds == {FrozenBatchNorm2d if name in frozen else nn.BatchNorm2d}
