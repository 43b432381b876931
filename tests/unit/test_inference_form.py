"""The network as it looks fastest: the numbers of the one that was trained, and the same digits however it is run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Iterator

import pytest
import torch
from torch import nn

from ymir_detectron2.retinanet.config import load_config
from ymir_detectron2.retinanet.inference_form import to_inference_form
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet
from ymir_detectron2.retinanet.norm import FrozenBatchNorm2d

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
NUM_CLASSES = 3


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def network(config: str, **overrides: object) -> RetinaNet:
    """With statistics as after a training, and logits that differ from place to place."""
    torch.manual_seed(0)
    model = build_retinanet(load_config(CONFIGS / config).merged(overrides, "test"), NUM_CLASSES).eval()
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


def look(model: RetinaNet, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        dense = model(images.to(dtype=model.dtype, memory_format=torch.channels_last))
    return torch.cat([*(level.flatten(1) for level in (*dense.logits, *dense.deltas))], dim=1).float()


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ("CPU/retinanet_R_18_FPN_small.yaml", {}),
        ("COCO-Detection/retinanet_R_50_FPN_1x.yaml", {}),
        ("CPU/retinanet_R_18_FPN_small.yaml", {"MODEL.RETINANET.NORM": "BN", "MODEL.FPN.NORM": "BN"}),
        ("CPU/retinanet_R_18_FPN_small.yaml", {"MODEL.RESNETS.NORM": "GN", "MODEL.RETINANET.NORM": ""}),
    ],
)
def test_the_numbers_stay(config: str, overrides: dict):
    model = network(config, **overrides)
    images = torch.randn(1, 3, 96, 128)
    before = look(model, images)
    to_inference_form(model)
    after = look(model, images)
    assert before.std() > 0.1
    torch.testing.assert_close(after, before, atol=2e-4, rtol=1e-4)
    folded = {type(module.norm).__name__ for module in model.backbone.bottom_up.modules() if hasattr(module, "norm")}
    assert not folded & {"FrozenBatchNorm2d", "BatchNorm2d"}


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="kernels of torch before 2.0 give other digits per thread")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_digits_depend_neither_on_threads_nor_on_the_batch(dtype: torch.dtype, threads: None):
    """Else several processes, which have fewer threads each, could not write the bytes of one."""
    model = network("CPU/retinanet_R_18_FPN_small.yaml")
    to_inference_form(model)
    model.to(dtype)
    images = torch.randn(4, 3, 160, 224)
    found = []
    for number in (1, 2):
        torch.set_num_threads(number)
        found.append(look(model, images))
        found.append(torch.cat([look(model, image[None]) for image in images]))
    for other in found[1:]:
        assert torch.equal(other, found[0])


def test_the_network_that_learns_is_left_alone():
    model = network("CPU/retinanet_R_18_FPN_small.yaml")
    other = copy.deepcopy(model)
    to_inference_form(other)
    assert any(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in other.parameters())
