"""A network optimised for inference: the numbers of the trained one, and the same digits however it is run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Iterator

import pytest
import torch
from torch import nn

from tests.running import PROJECT_DIR, TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.devices import read_facts
from ymir_detectron2.retinanet.inference_optimizations import ContiguousGroupNorm, OneDnnConv2d, prepare_for_inference
from ymir_detectron2.retinanet.layers import ConvNorm2d, FrozenBatchNorm2d
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet

R18_CONFIG = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
NUM_CLASSES = 3

HAS_BF16 = read_facts(torch.device("cpu")).has_bf16
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="oneDNN has no bf16 on this processor")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def network(config: Path, **overrides: object) -> RetinaNet:
    """With statistics as after a training, and logits that differ from place to place."""
    torch.manual_seed(0)
    model = build_retinanet(load_config(config).merged(overrides, "test"), NUM_CLASSES).eval()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, FrozenBatchNorm2d)):
            for tensor, low, high in (
                (module.running_mean, -0.1, 0.1), (module.running_var, 0.5, 1.5), (module.weight, 0.3, 0.8),
                (module.bias, -0.1, 0.1),
            ):  # fmt: skip
                if tensor is not None:
                    tensor.data.uniform_(low, high)
    for layer in (*model.head.cls_subnet, *model.head.bbox_subnet, model.head.cls_score):
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return model.to(memory_format=torch.channels_last)


def outputs(model: RetinaNet, images: torch.Tensor) -> torch.Tensor:
    """(N, everything) logits and offsets of all levels."""
    with torch.no_grad():
        dense = model(images.to(dtype=model.dtype, memory_format=torch.channels_last))
    return torch.cat([*(level.flatten(1) for level in (*dense.logits, *dense.deltas))], dim=1).float()


GN_WIDTHS = {f"MODEL.RESNETS.{key}": 32 for key in ("STEM_OUT_CHANNELS", "WIDTH_PER_GROUP", "RES2_OUT_CHANNELS")}


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        pytest.param(R18_CONFIG, {}, id="basic blocks"),
        pytest.param(TINY_CONFIG, {"MODEL.RESNETS.NORM": "FrozenBN", "MODEL.RETINANET.NORM": ""}, id="frozen"),
        pytest.param(TINY_CONFIG, {"MODEL.RETINANET.NORM": "BN", "MODEL.FPN.NORM": "BN"}, id="BN everywhere"),
        pytest.param(TINY_CONFIG, {**GN_WIDTHS, "MODEL.RESNETS.NORM": "GN", "MODEL.RETINANET.NORM": ""}, id="GN"),
    ],
)
def test_the_numbers_stay(config: Path, overrides: dict):
    model = network(config, **overrides)
    images = torch.randn(1, 3, 96, 128)
    before = outputs(model, images)
    prepare_for_inference(model)
    after = outputs(model, images)
    assert before.std() > 0.1
    torch.testing.assert_close(after, before, atol=2e-4, rtol=1e-4)
    folded = {type(module.norm).__name__ for module in model.backbone.bottom_up.modules() if hasattr(module, "norm")}
    assert not folded & {"FrozenBatchNorm2d", "BatchNorm2d"}


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="kernels of torch before 2.0 give other digits per thread")
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bf16)])
def test_digits_depend_neither_on_threads_nor_on_the_batch(dtype: torch.dtype, threads: None):
    """Else several processes, which have fewer threads each, could not write the bytes of one."""
    model = network(R18_CONFIG)
    prepare_for_inference(model)
    model.to(dtype)
    images = torch.randn(4, 3, 160, 224)
    results = []
    for number in (1, 2):
        torch.set_num_threads(number)
        results.append(outputs(model, images))
        results.append(torch.cat([outputs(model, image[None]) for image in images]))
    for other in results[1:]:
        assert torch.equal(other, results[0])


def test_the_trained_network_stays_trainable():
    model = network(TINY_CONFIG)
    other = copy.deepcopy(model)
    prepare_for_inference(other)
    assert any(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in other.parameters())


@pytest.mark.parametrize("fix_kernels", [True, False])
def test_kernels_are_fixed_unless_a_compiler_chooses_them(fix_kernels: bool):
    model = network(TINY_CONFIG)
    prepare_for_inference(model, fix_kernels=fix_kernels)
    kinds = {type(module) for module in model.modules()}
    expected = {OneDnnConv2d, ContiguousGroupNorm} if fix_kernels else {nn.Conv2d, ConvNorm2d, nn.GroupNorm}
    both = {OneDnnConv2d, ContiguousGroupNorm, nn.Conv2d, ConvNorm2d, nn.GroupNorm}
    assert kinds & both == expected


def test_folding_keeps_a_bias_of_the_convolution():
    torch.manual_seed(0)
    conv = ConvNorm2d(3, 8, 3, norm="BN", bias=True).eval()
    nn.init.uniform_(conv.norm.running_mean, -1, 1)
    nn.init.uniform_(conv.norm.running_var, 0.5, 2)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = conv(images)
        prepare_for_inference(conv, fix_kernels=False)
        assert conv.norm is None
        torch.testing.assert_close(conv(images), before, atol=1e-5, rtol=1e-5)


def test_a_norm_without_statistics_is_not_folded():
    """It computes with those of the batch, which are not known before."""
    conv = ConvNorm2d(3, 8, 3, norm="")
    conv.norm = nn.BatchNorm2d(8, track_running_stats=False)
    prepare_for_inference(conv, fix_kernels=False)
    assert isinstance(conv.norm, nn.BatchNorm2d)
