"""Optimise a trained network for inference: fold batch normalisation, fix the kernels. It can no longer be trained.

On one processor, in fp32 and with torch 2, the results become independent of batch size and number of threads, to the
last digit (docs/precision.md). Letters: C channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNorm2d, FrozenBatchNorm2d


class OneDnnConv2d(nn.Module):
    """A convolution on the CPU that always uses oneDNN's kernel.

    nn.Conv2d uses another kernel for some small inputs, depending on batch size and number of threads; then the last
    digits of a result depend on both.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._geometry: tuple[Any, ...] = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.norm = getattr(conv, "norm", None)  # GN, or a batch normalisation without statistics: not folded

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        x: Tensor = torch.mkldnn_convolution(input, self.weight, self.bias, *self._geometry)
        return x if self.norm is None else self.norm(x)


class ContiguousGroupNorm(nn.GroupNorm):
    """Group normalisation whose sums run in one order whatever the batch size and the number of threads."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape."""
        # the kernel for channels-last splits its sums among the threads
        return F.group_norm(input.contiguous(), self.num_groups, self.weight, self.bias, self.eps)


def prepare_for_inference(network: nn.Module, *, fix_kernels: bool = True) -> None:
    """Fold batch normalisation into the preceding convolutions, and on the CPU fix the kernels; in place.

    Folding changes a float32 logit by about 1e-5.

    Args:
        fix_kernels: False for torch's compiler, which chooses kernels itself, and for its exporter: neither can trace
            a direct call of oneDNN.
    """
    for module in network.modules():
        if isinstance(module, ConvNorm2d):
            _fold(module)
    network.requires_grad_(False)
    on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
    if fix_kernels and on_cpu and torch.backends.mkldnn.is_available():
        _fix_kernels(network)


def _fold(conv: ConvNorm2d) -> None:
    """Multiply statistics and affine parameters into weight and bias, in float64: y = scale * conv(x) + shift."""
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


def _fix_kernels(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        _fix_kernels(child)
        if isinstance(child, nn.Conv2d):
            setattr(parent, name, OneDnnConv2d(child))
        elif isinstance(child, nn.GroupNorm):
            # same parameters, another forward: no need to build a second layer
            child.__class__ = ContiguousGroupNorm
