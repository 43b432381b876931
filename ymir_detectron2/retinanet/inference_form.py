"""A network in the form in which it looks fastest, and gives the same digits however it is run. It can no longer learn.

Letters: C channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import NormedConv2d
from .norm import FrozenBatchNorm2d


class OneDnnConv2d(nn.Module):
    """A convolution on the CPU that always takes oneDNN's kernel.

    Left to itself, torch takes another kernel for some small inputs, by their batch size and the number of threads;
    then the last digits of a result depend on both.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._geometry: tuple[Any, ...] = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.norm = getattr(conv, "norm", None)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        x: Tensor = torch.mkldnn_convolution(input, self.weight, self.bias, *self._geometry)
        return x if self.norm is None else self.norm(x)


class ContiguousGroupNorm(nn.GroupNorm):
    """Group normalisation whose sums run in one order whatever the batch and the number of threads."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape."""
        return F.group_norm(input.contiguous(), self.num_groups, self.weight, self.bias, self.eps)


def to_inference_form(network: nn.Module, *, fix_kernels: bool = True) -> None:
    """Fold batch normalisation into the convolutions before it, and on the CPU fix the kernels; in place.

    Folding changes a float32 logit by about 1e-5.

    Args:
        fix_kernels: False for torch's compiler, which chooses kernels itself, and for its exporter: neither can look
            into oneDNN's call.
    """
    for module in network.modules():
        if isinstance(module, NormedConv2d):
            _fold(module)
    network.requires_grad_(False)
    if fix_kernels and _has_onednn(network):
        _fix_kernels(network)


def _fold(conv: NormedConv2d) -> None:
    """Multiply the statistics into weight and bias, in float64."""
    norm = conv.norm
    if not isinstance(norm, (FrozenBatchNorm2d, nn.BatchNorm2d, nn.SyncBatchNorm)) or norm.running_var is None:
        return
    scale = (norm.running_var.double() + norm.eps).rsqrt() * norm.weight.double()  # (C,)
    shift = norm.bias.double() - norm.running_mean.double() * scale  # type: ignore[union-attr, operator]
    if conv.bias is not None:
        shift = shift + conv.bias.double() * scale
    weight = conv.weight.double() * scale.reshape(-1, 1, 1, 1)
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype))
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype))
    conv.norm = None


def _has_onednn(network: nn.Module) -> bool:
    on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
    return on_cpu and torch.backends.mkldnn.is_available()


def _fix_kernels(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        _fix_kernels(child)
        if isinstance(child, nn.Conv2d):
            setattr(parent, name, OneDnnConv2d(child))
        elif isinstance(child, nn.GroupNorm):
            child.__class__ = ContiguousGroupNorm
