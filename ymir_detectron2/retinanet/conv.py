"""A convolution that owns the normalisation behind it, so that names read `conv1.weight`, `conv1.norm.weight`."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .norm import build_norm


class NormedConv2d(nn.Conv2d):
    """Convolution, then the named normalisation; a bias only where the caller asks for it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, norm: str, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.norm = build_norm(norm, out_channels)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        x = F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return x if self.norm is None else self.norm(x)


def fill_msra(conv: nn.Conv2d) -> None:
    """Initialise for a ReLU behind it: normal with variance 2 / fan-out (arXiv 1502.01852); bias 0."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    _zero_bias(conv)


def fill_xavier(conv: nn.Conv2d) -> None:
    """Initialise as Caffe2's XavierFill does: uniform with variance 1 / fan-in; bias 0."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    _zero_bias(conv)


def _zero_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
