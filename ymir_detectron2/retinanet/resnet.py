"""ResNet and ResNeXt backbones with detectron2's structure and names: `stem`, `res2` .. `res5`.

Source: He et al., arXiv 1512.03385; Xie et al., arXiv 1611.05431. Random numbers are drawn in detectron2's order, so
that one random seed gives both the same initial weights. Letters: N images, C channels, H and W of the image.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNorm2d, freeze_batch_norm, init_msra

# table 1 of the paper
BLOCKS_PER_STAGE: Mapping[int, Sequence[int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STEM_STRIDE = 4


class BasicStem(nn.Module):
    """7x7 convolution and max-pool: (N, 3, H, W) -> (N, C, H/4, W/4)."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv1 = ConvNorm2d(in_channels, out_channels, 7, norm=norm, stride=2, padding=3, bias=False)
        init_msra(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu_(self.conv1(x)), kernel_size=3, stride=2, padding=1)


class ResidualBlock(nn.Module):
    """Base of basic and bottleneck blocks: a projection shortcut where the channels change, the sum, the last ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = ConvNorm2d(in_channels, out_channels, 1, norm=norm, stride=stride, bias=False)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the residual branch."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        # in place, like the ReLUs: one feature map less in memory
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu_(out)

    def _init_weights(self, *convs: nn.Conv2d) -> None:
        """Initialise in detectron2's order, the shortcut last."""
        for conv in (*convs, *([] if self.shortcut is None else [self.shortcut])):
            init_msra(conv)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions: ResNet-18 and -34."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__(in_channels, out_channels, stride, norm)
        options: dict[str, Any] = {"norm": norm, "padding": 1, "bias": False}
        self.conv1 = ConvNorm2d(in_channels, out_channels, 3, stride=stride, **options)
        self.conv2 = ConvNorm2d(out_channels, out_channels, 3, **options)
        self._init_weights(self.conv1, self.conv2)

    def residual(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu_(self.conv1(x)))
        return out


class BottleneckBlock(ResidualBlock):
    """1x1, 3x3, 1x1 convolutions: ResNet-50 and deeper, ResNeXt with groups > 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        norm: str,
        *,
        width: int,
        groups: int,
        stride_in_1x1: bool,
        dilation: int,
    ) -> None:
        """
        Args:
            width: channels of the 3x3 convolution.
            stride_in_1x1: True for MSRA's ImageNet weights, which were trained so; torchvision's have it in the 3x3.
        """
        super().__init__(in_channels, out_channels, stride, norm)
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = ConvNorm2d(in_channels, width, 1, norm=norm, stride=stride_1x1, bias=False)
        self.conv2 = ConvNorm2d(
            width,
            width,
            3,
            norm=norm,
            stride=stride_3x3,
            padding=dilation,  # keeps the size
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.conv3 = ConvNorm2d(width, out_channels, 1, norm=norm, bias=False)
        self._init_weights(self.conv1, self.conv2, self.conv3)

    def residual(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.relu_(self.conv2(F.relu_(self.conv1(x)))))
        return out


class ResNet(nn.Module):
    """Stem and stages. `channels` and `strides` (pixels of the image per cell) describe each named output."""

    def __init__(self, stem: BasicStem, stages: Mapping[str, nn.Module], out_features: Sequence[str]) -> None:
        super().__init__()
        self.stem = stem
        self.stage_names = tuple(stages)
        # as attributes, not in a ModuleList: weight files have them as `res2.0.conv1`
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.out_features = tuple(out_features)
        self.channels: dict[str, int] = {"stem": stem.conv1.out_channels}
        self.strides: dict[str, int] = {"stem": STEM_STRIDE}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the named feature maps of (N, 3, H, W), each (N, C, H / stride, W / stride) rounded up."""
        features = {"stem": self.stem(x)}
        last = features["stem"]
        for name in self.stage_names:
            last = features[name] = getattr(self, name)(last)
        return {name: features[name] for name in self.out_features}

    def freeze(self, freeze_at: int) -> None:
        """Freeze the first stages for fine-tuning, batch statistics too: 1 the stem, 2 also res2, and so on."""
        for name in ("stem", *self.stage_names)[: max(freeze_at, 0)]:
            freeze_batch_norm(getattr(self, name)).requires_grad_(False)


def build_resnet(cfg: Mapping[str, Any]) -> ResNet:
    """Build the backbone of MODEL.RESNETS, frozen up to MODEL.BACKBONE.FREEZE_AT."""
    channels = cfg["MODEL.RESNETS.STEM_OUT_CHANNELS"]
    stem = BasicStem(len(cfg["MODEL.PIXEL_MEAN"]), channels, cfg["MODEL.RESNETS.NORM"])
    stages: dict[str, nn.Module] = {}
    strides: dict[str, int] = {}
    out_channels: dict[str, int] = {}
    for index, num_blocks in enumerate(BLOCKS_PER_STAGE[cfg["MODEL.RESNETS.DEPTH"]]):
        name = f"res{index + 2}"
        # res2 keeps the resolution of the stem, a dilated res5 that of res4; each other stage halves it
        is_dilated = index == 3 and cfg["MODEL.RESNETS.RES5_DILATION"] == 2
        stride = 1 if index == 0 or is_dilated else 2
        wide = cfg["MODEL.RESNETS.RES2_OUT_CHANNELS"] * 2**index
        stages[name] = nn.Sequential(*_build_blocks(cfg, index, num_blocks, channels, wide, stride))
        strides[name] = strides.get(f"res{index + 1}", STEM_STRIDE) * stride
        out_channels[name] = channels = wide
    resnet = ResNet(stem, stages, cfg["MODEL.RESNETS.OUT_FEATURES"])
    resnet.channels.update(out_channels)
    resnet.strides.update(strides)
    resnet.freeze(cfg["MODEL.BACKBONE.FREEZE_AT"])
    return resnet


def _build_blocks(
    cfg: Mapping[str, Any], index: int, num_blocks: int, in_channels: int, out_channels: int, stride: int
) -> list[nn.Module]:
    norm = cfg["MODEL.RESNETS.NORM"]
    # only the first block of a stage changes resolution and channels
    first, rest = (in_channels, out_channels, stride, norm), (out_channels, out_channels, 1, norm)
    shapes = [first] + [rest] * (num_blocks - 1)
    if cfg["MODEL.RESNETS.DEPTH"] < 50:
        return [BasicBlock(*shape) for shape in shapes]
    groups = cfg["MODEL.RESNETS.NUM_GROUPS"]
    options = {
        "width": groups * cfg["MODEL.RESNETS.WIDTH_PER_GROUP"] * 2**index,
        "groups": groups,
        "stride_in_1x1": cfg["MODEL.RESNETS.STRIDE_IN_1X1"],
        "dilation": cfg["MODEL.RESNETS.RES5_DILATION"] if index == 3 else 1,
    }
    return [BottleneckBlock(*shape, **options) for shape in shapes]
