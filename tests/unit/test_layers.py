"""Convolutions with norms, their initialisation, and norms frozen, synchronised or per level."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ymir_detectron2.retinanet.layers import (
    ConvNorm2d,
    FrozenBatchNorm2d,
    LevelBatchNorm,
    SyncBatchNorm,
    autocast,
    build_head_norm,
    build_norm,
    freeze_batch_norm,
    init_msra,
    init_xavier,
)

CPU = torch.device("cpu")


def with_statistics(norm: nn.Module) -> nn.Module:
    """Random statistics and affine parameters, as after a training."""
    torch.manual_seed(0)
    for tensor in (norm.running_mean, norm.weight, norm.bias):
        nn.init.uniform_(tensor, -1, 1)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("FrozenBN", FrozenBatchNorm2d), ("BN", nn.BatchNorm2d), ("SyncBN", SyncBatchNorm),
        ("nnSyncBN", SyncBatchNorm), ("GN", nn.GroupNorm), ("", type(None)),
    ],
)  # fmt: skip
def test_norms_by_detectron2s_names(name: str, kind: type):
    assert type(build_norm(name, 64)) is kind
    expected = LevelBatchNorm if name in ("BN", "SyncBN") else kind
    assert type(build_head_norm(name, 64, num_levels=5)) is expected


def test_a_convolution_with_norm_is_both_in_turn_under_detectron2s_names():
    conv = ConvNorm2d(3, 8, 3, norm="BN", padding=1, bias=False)
    assert [name for name, _ in conv.named_parameters()] == ["weight", "norm.weight", "norm.bias"]
    x = torch.randn(2, 3, 5, 7)
    plain = nn.functional.conv2d(x, conv.weight, padding=1)
    mean, variance = plain.mean((0, 2, 3), keepdim=True), plain.var((0, 2, 3), unbiased=False, keepdim=True)
    assert torch.allclose(conv(x), (plain - mean) / (variance + 1e-5).sqrt(), atol=1e-5)


def test_without_a_norm_it_is_a_convolution():
    conv, x = ConvNorm2d(3, 8, 3, norm="", stride=2), torch.randn(2, 3, 5, 7)
    assert [name for name, _ in conv.named_parameters()] == ["weight", "bias"]
    assert torch.equal(conv(x), nn.functional.conv2d(x, conv.weight, conv.bias, stride=2))


def test_initial_weights_have_the_published_variances():
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 64, 3)
    weight = conv.weight.detach()  # shares the memory
    init_msra(conv)
    assert float(weight.var()) == pytest.approx(2 / (64 * 9), rel=0.05)
    init_xavier(conv)
    bound = math.sqrt(3 / (32 * 9))  # of a uniform distribution with variance 1 / fan-in
    assert float(weight.abs().max()) == pytest.approx(bound, rel=0.01)
    assert float(weight.var()) == pytest.approx(1 / (32 * 9), rel=0.05)
    assert conv.bias.abs().sum() == 0


def test_frozen_norm_is_the_identity_at_first():
    x = torch.randn(2, 8, 3, 3)
    assert torch.allclose(FrozenBatchNorm2d(8)(x), x, atol=1e-6)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_frozen_norm_computes_what_batch_norm_does_in_evaluation(requires_grad: bool):
    """With and without gradient it takes different ways."""
    norm = with_statistics(nn.BatchNorm2d(8)).eval()
    frozen = freeze_batch_norm(norm)
    x = torch.randn(2, 8, 3, 3, requires_grad=requires_grad)
    assert torch.allclose(frozen(x), norm(x), atol=1e-5)
    assert not list(frozen.parameters())
    assert frozen.train()(x).equal(frozen.eval()(x))


def test_frozen_norm_keeps_half_precision():
    x = torch.randn(1, 8, 2, 2, requires_grad=True)
    assert FrozenBatchNorm2d(8)(x.bfloat16()).dtype == torch.bfloat16


def test_freezing_reaches_all_children_and_leaves_other_norms():
    network = nn.Sequential(nn.Sequential(nn.BatchNorm2d(32), nn.GroupNorm(32, 32)), SyncBatchNorm(32, affine=False))
    frozen = freeze_batch_norm(network)
    assert frozen is network
    assert [type(module) for module in (*frozen[0], frozen[1])] == [FrozenBatchNorm2d, nn.GroupNorm, FrozenBatchNorm2d]
    assert torch.equal(frozen[1].weight, torch.ones(32))


def test_sync_norm_in_one_process_is_batch_norm():
    synced, plain = with_statistics(SyncBatchNorm(8)), with_statistics(nn.BatchNorm2d(8))
    x = torch.randn(4, 8, 3, 3)
    assert torch.equal(synced(x), plain(x))
    assert torch.equal(synced.running_mean, plain.running_mean)
    assert torch.equal(synced.running_var, plain.running_var)
    assert int(synced.num_batches_tracked) == int(plain.num_batches_tracked) == 1
    assert torch.equal(synced.eval()(x), plain.eval()(x))


def test_every_level_has_its_own_statistics_and_all_share_the_affine_parameters():
    norm = LevelBatchNorm(2, nn.BatchNorm2d, 4)
    nn.init.constant_(norm.bias, 3.0)
    with torch.no_grad():
        for _ in range(2):  # the levels take turns
            fine, coarse = norm(torch.randn(2, 4, 8, 8)), norm(torch.randn(2, 4, 4, 4) + 100)
    assert float(fine.mean()) == pytest.approx(3, abs=1e-4)
    assert float(coarse.mean()) == pytest.approx(3, abs=1e-4)
    assert float(norm[0].running_mean.abs().max()) < 1
    assert float(norm[1].running_mean.min()) > 10
    assert sorted(name for name, _ in norm.named_parameters()) == ["bias", "weight"]


def test_autocast_is_one_switch():
    linear, x = nn.Linear(4, 4), torch.ones(1, 4)
    with autocast(CPU, None):
        assert linear(x).dtype == torch.float32
    with autocast(CPU, torch.bfloat16):
        assert linear(x).dtype == torch.bfloat16
