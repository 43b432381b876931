"""Feature pyramid network (FPN) over a ResNet, with two more levels made from res5.

Source: Lin et al., arXiv 1612.03144; p6 and p7 as in RetinaNet, arXiv 1708.02002. Level p<n> has stride 2^n.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .layers import ConvNorm2d, init_xavier, with_sound_gradient
from .resnet import ResNet, build_resnet


class LastLevels(nn.Module):
    """res5 (N, C, H, W) -> [p6, p7], each half the size of the one before."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, stride=2, padding=1)
        init_xavier(self.p6)
        init_xavier(self.p7)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return p6, p7."""
        levels: list[Tensor] = with_sound_gradient(self._levels, x, self.p6.weight)
        return levels

    def _levels(self, x: Tensor) -> list[Tensor]:
        p6 = self.p6(x)
        return [p6, self.p7(F.relu(p6))]


class FPN(nn.Module):
    """Pyramid levels of equal width; `strides` maps their names to pixels, finest first."""

    def __init__(
        self,
        bottom_up: ResNet,
        in_features: Sequence[str],
        out_channels: int,
        norm: str,
        top_block: LastLevels,
        fuse_type: str,
    ) -> None:
        super().__init__()
        levels = _levels(in_features, bottom_up.strides)
        self.in_features = tuple(in_features)
        self.fuse_type = fuse_type
        self._names = [str(level) for level in levels]
        # a bias only without a norm; add_module gives detectron2's names, fpn_lateral3 to fpn_output5
        for level, feature in zip(levels, in_features):
            lateral = ConvNorm2d(bottom_up.channels[feature], out_channels, 1, norm=norm, bias=not norm)
            output = ConvNorm2d(out_channels, out_channels, 3, norm=norm, padding=1, bias=not norm)
            init_xavier(lateral)
            init_xavier(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
        self.top_block = top_block
        self.bottom_up = bottom_up
        self.strides: dict[str, int] = {f"p{level}": 2**level for level in (*levels, levels[-1] + 1, levels[-1] + 2)}
        # the top-down sum needs every level to be exactly twice the next; p6 and p7 take no part in it
        self.size_divisibility: int = 2 ** levels[-1]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) with H, W multiples of size_divisibility -> {"p3": (N, C, H/8, W/8), ...}."""
        features = self.bottom_up(x)
        outputs: list[Tensor] = []
        above = None  # the coarser level, already merged
        for name, feature in zip(reversed(self._names), reversed(self.in_features)):
            merged = getattr(self, f"fpn_lateral{name}")(features[feature])
            if above is not None:
                merged = merged + F.interpolate(above, scale_factor=2.0, mode="nearest")  # (N, C, 2h, 2w)
                if self.fuse_type == "avg":
                    merged = merged / 2
            outputs.insert(0, getattr(self, f"fpn_output{name}")(merged))
            above = merged
        outputs.extend(self.top_block(features["res5"]))  # not from p5: as published for RetinaNet
        return dict(zip(self.strides, outputs))


def build_fpn(cfg: Mapping[str, Any]) -> FPN:
    """Build ResNet and pyramid from MODEL.RESNETS and MODEL.FPN."""
    width = cfg["MODEL.FPN.OUT_CHANNELS"]
    bottom_up = build_resnet(cfg)
    return FPN(
        bottom_up,
        cfg["MODEL.FPN.IN_FEATURES"],
        width,
        cfg["MODEL.FPN.NORM"],
        LastLevels(bottom_up.channels["res5"], width),
        cfg["MODEL.FPN.FUSE_TYPE"],
    )


def _levels(in_features: Sequence[str], strides: Mapping[str, int]) -> list[int]:
    """log2 of the strides, which must rise one by one."""
    levels = [int(math.log2(strides[feature])) for feature in in_features]
    if levels != list(range(levels[0], levels[0] + len(levels))):
        found = ", ".join(f"{feature}: {strides[feature]}" for feature in in_features)
        raise ConfigError(f"MODEL.FPN.IN_FEATURES: each level must have twice the stride of the last, found {found}")
    return levels
