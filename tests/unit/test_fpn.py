"""The feature pyramid: sizes, names and strides of its levels, and how they are merged."""

from __future__ import annotations

import pytest
import torch

from tests.running import TINY_CONFIG
from tests.used_memory import used_memory
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.devices import read_facts
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.fpn import FPN, build_fpn


def fpn(**changes: object) -> FPN:
    torch.manual_seed(0)
    return build_fpn(load_config(TINY_CONFIG).merged({f"MODEL.{key}": value for key, value in changes.items()}, "test"))


def test_levels_have_the_sizes_of_their_strides():
    pyramid = fpn().eval()
    assert pyramid.strides == {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
    assert pyramid.size_divisibility == 32
    with torch.no_grad():
        levels = pyramid(torch.randn(1, 3, 64, 96))
    assert {name: tuple(level.shape) for name, level in levels.items()} == {
        "p3": (1, 64, 8, 12), "p4": (1, 64, 4, 6), "p5": (1, 64, 2, 3), "p6": (1, 64, 1, 2), "p7": (1, 64, 1, 1),
    }  # fmt: skip


@pytest.mark.parametrize(("fuse_type", "factor"), [("sum", 1.0), ("avg", 0.5)])
def test_a_level_is_its_lateral_and_the_enlarged_coarser_one(fuse_type: str, factor: float):
    pyramid = fpn(**{"FPN.FUSE_TYPE": fuse_type}).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features, levels = pyramid.bottom_up(x), pyramid(x)
        top = pyramid.fpn_lateral5(features["res5"])
        enlarged = top.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        expected = pyramid.fpn_output4((pyramid.fpn_lateral4(features["res4"]) + enlarged) * factor)
    assert torch.allclose(levels["p4"], expected, atol=1e-6)
    assert torch.allclose(levels["p5"], pyramid.fpn_output5(top), atol=1e-6)


def test_p6_and_p7_come_from_res5():
    pyramid = fpn().eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        p6 = pyramid.top_block.p6(pyramid.bottom_up(x)["res5"])
        levels = pyramid(x)
    assert torch.equal(levels["p6"], p6)
    assert torch.equal(levels["p7"], pyramid.top_block.p7(p6.relu()))


def test_strides_that_do_not_double_are_refused():
    with pytest.raises(ConfigError, match=r"^MODEL\.FPN\.IN_FEATURES: each level .* found res3: 8, res5: 32$"):
        fpn(**{"FPN.IN_FEATURES": ["res3", "res5"]})


@pytest.mark.parametrize(("norm", "has_bias"), [("", True), ("GN", False)])
def test_a_norm_takes_the_place_of_the_bias(norm: str, has_bias: bool):
    lateral = fpn(**{"FPN.NORM": norm}).fpn_lateral3
    assert (lateral.bias is not None, lateral.norm is None) == (has_bias, has_bias)


@pytest.mark.skipif(not read_facts(torch.device("cpu")).has_bf16, reason="no bf16 here")
@pytest.mark.parametrize("hw", [(32, 32), (64, 64), (96, 64)])
def test_gradients_of_narrow_levels_are_finite_in_bf16(hw: tuple[int, int]):
    """oneDNN's gradient of a convolution with stride 2 over one cell reads memory that nobody has written."""
    pyramid = fpn().to(memory_format=torch.channels_last)
    for _ in range(8):
        pyramid.zero_grad()
        used_memory()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            levels = pyramid(torch.randn(2, 3, *hw).to(memory_format=torch.channels_last))
        sum(level.float().sum() for level in levels.values()).backward()
        for name in ("p6", "p7"):
            assert torch.isfinite(getattr(pyramid.top_block, name).weight.grad).all(), name
