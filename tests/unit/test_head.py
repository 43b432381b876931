"""The head: its layers under detectron2's names, its first predictions, the order of its outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.head import RetinaNetHead, permute_to_N_HWA_K
from ymir_detectron2.retinanet.layers import LevelBatchNorm


def head(num_classes: int = 3, num_anchors: int = 2, **changes: object) -> RetinaNetHead:
    torch.manual_seed(0)
    cfg = load_config(TINY_CONFIG).merged({f"MODEL.{key}": value for key, value in changes.items()}, "test")
    return RetinaNetHead(cfg, num_classes, num_anchors)


def test_outputs_follow_the_anchors_cell_by_cell():
    """One number per class of an anchor: channel 10 * anchor + class, at row 1 and column 2 of 2 x 3 cells."""
    channels = torch.tensor([0.0, 1, 2, 10, 11, 12])  # two anchors, three classes
    tensor = torch.zeros(1, 6, 2, 3)
    tensor[0, :, 1, 2] = channels + 1
    permuted = permute_to_N_HWA_K(tensor, 3)
    assert permuted.shape == (1, 12, 3)
    assert permuted[0, 10:].tolist() == [[1, 2, 3], [11, 12, 13]]  # the last cell's two anchors
    assert permuted[0, :10].abs().sum() == 0


def test_every_level_gets_logits_and_offsets_of_its_size():
    logits, deltas = head()([torch.randn(1, 64, 4, 6), torch.randn(1, 64, 2, 3)])
    assert [level.shape for level in logits] == [(1, 6, 4, 6), (1, 6, 2, 3)]
    assert [level.shape for level in deltas] == [(1, 8, 4, 6), (1, 8, 2, 3)]


def test_every_class_begins_with_the_prior_probability():
    layers = head(**{"RETINANET.PRIOR_PROB": 0.2})
    assert torch.allclose(layers.cls_score.bias.sigmoid(), torch.tensor(0.2))
    assert float(layers.cls_score.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert layers.bbox_pred.bias.abs().sum() == 0


@pytest.mark.parametrize(
    ("norm", "kinds"),
    [
        ("", [nn.Conv2d, nn.ReLU]), ("GN", [nn.Conv2d, nn.GroupNorm, nn.ReLU]),
        ("BN", [nn.Conv2d, LevelBatchNorm, nn.ReLU]),
    ],
)  # fmt: skip
def test_subnets_have_num_convs_layers_with_the_norm(norm: str, kinds: list[type]):
    layers = head(**{"RETINANET.NORM": norm, "RETINANET.NUM_CONVS": 2})
    for subnet in (layers.cls_subnet, layers.bbox_subnet):
        assert [type(layer) for layer in subnet] == kinds * 2


def test_the_channels_must_fit_the_groups():
    with pytest.raises(ConfigError, match=r"^MODEL\.FPN\.OUT_CHANNELS is 48, expected a multiple of 32"):
        head(**{"FPN.OUT_CHANNELS": 48, "RETINANET.NORM": "GN"})
