"""Layers of backbone, pyramid and heads: convolution with normalisation, initialisation, mixed precision (autocast).

Norms have detectron2's names, buffers and parameters, so that weight files fit both ways.
Letters: N images, C channels, H and W height and width of a feature map.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Callable, ContextManager

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
"""Groups of GN, as in detectron2: the number of channels must be a multiple."""


class ConvNorm2d(nn.Conv2d):
    """Convolution, then the named normalisation as its child: parameters are `conv1.weight`, `conv1.norm.weight`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, norm: str, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.norm = build_norm(norm, out_channels)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        x = F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return x if self.norm is None else self.norm(x)


def init_msra(conv: nn.Conv2d) -> None:
    """Initialise for a following ReLU, as fvcore's c2_msra_fill: normal, variance 2 / fan-out (arXiv 1502.01852).

    There is no bias: the convolutions of a ResNet have a normalisation in its place.
    """
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")


def init_xavier(conv: nn.Conv2d) -> None:
    """Initialise as fvcore's c2_xavier_fill, Caffe2's XavierFill: uniform, variance 1 / fan-in; bias 0."""
    # a=1 gives Caffe2's bound sqrt(3 / fan_in); torch's own xavier_uniform_ also divides by fan_out
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine parameters are constants, kept as buffers."""

    _version = 3  # of the state dict, as in detectron2; `_load_from_state_dict` meets older ones
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor | None

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features) - eps)  # with eps added: the exact identity
        self.register_buffer("num_batches_tracked", None)  # filled where a BatchNorm2d has been frozen

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape and dtype."""
        if not x.requires_grad:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        # F.batch_norm would also keep the input for gradients of weight and bias, which are constants here
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1).to(x.dtype) + shift.reshape(1, -1, 1, 1).to(x.dtype)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """Read weights without statistics (Caffe2's, already folded into weight and bias) as mean 0, variance 1."""
        version = local_metadata.get("version")
        if version is None or version < 2:
            state_dict.setdefault(prefix + "running_mean", torch.zeros_like(self.running_mean))
            state_dict.setdefault(prefix + "running_var", torch.ones_like(self.running_var))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch normalisation over all processes; in a single process plain batch normalisation, on the CPU too."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape."""
        is_distributed = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if self.training and is_distributed:
            return super().forward(input)
        # like nn.BatchNorm2d from here on: torch 1.10's SyncBatchNorm refuses the CPU even in a single process
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )


class LevelBatchNorm(nn.ModuleList):
    """One set of statistics per pyramid level, one common weight and bias; levels take turns in call order.

    A head processes feature maps of very different statistics, so a shared running mean would fit none of them.
    detectron2 has the same as CycleBatchNormList.
    """

    def __init__(self, num_levels: int, make_norm: Callable[..., nn.Module], num_features: int) -> None:
        super().__init__([make_norm(num_features, affine=False) for _ in range(num_levels)])
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self._next_level = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape; the caller must pass all levels in order, every time."""
        normalised: Tensor = self[self._next_level](x)
        self._next_level = (self._next_level + 1) % len(self)
        return normalised * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)


_MAKERS: dict[str, Callable[..., nn.Module]] = {
    "FrozenBN": FrozenBatchNorm2d,
    "BN": nn.BatchNorm2d,
    "SyncBN": SyncBatchNorm,
    "nnSyncBN": SyncBatchNorm,
    "GN": lambda channels: nn.GroupNorm(GROUPS, channels),
}


def build_norm(name: str, channels: int) -> nn.Module | None:
    """Build the layer that detectron2 calls `name`; None for ''."""
    return _MAKERS[name](channels) if name else None


def build_head_norm(name: str, channels: int, num_levels: int) -> nn.Module | None:
    """Build a norm for a head that runs over all pyramid levels: batch statistics are kept per level."""
    if name in ("BN", "SyncBN"):
        return LevelBatchNorm(num_levels, _MAKERS[name], channels)
    return build_norm(name, channels)


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalisation below `module` by a frozen one with the same numbers; return the result."""
    if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
        return _to_frozen(module)
    for name, child in module.named_children():
        frozen = freeze_batch_norm(child)
        if frozen is not child:
            module.add_module(name, frozen)
    return module


def _to_frozen(norm: Any) -> FrozenBatchNorm2d:
    frozen = FrozenBatchNorm2d(norm.num_features, norm.eps)
    if norm.affine:  # parameters become buffers: neither optimizer nor weight decay may touch them
        frozen.weight = norm.weight.detach().clone()
        frozen.bias = norm.bias.detach().clone()
    frozen.running_mean = norm.running_mean
    frozen.running_var = norm.running_var
    frozen.num_batches_tracked = norm.num_batches_tracked
    return frozen


def autocast(device: torch.device, dtype: torch.dtype | None) -> ContextManager[Any]:
    """Return the context of mixed precision: torch computes in `dtype` where that is safe; None is plain fp32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def with_sound_gradient(convolve: Callable[[Tensor], Any], x: Tensor, weight: Tensor) -> Any:
    """Return `convolve(x)`; in training on the CPU computed in fp32, whatever autocast says.

    For convolutions with stride 2: where their input is one cell wide, oneDNN's bf16 gradient of their weights reads
    memory that nobody has written (torch 2.14.1), and is NaN or anything else. Only levels above res5 are so narrow.

    Args:
        weight: of one of the convolutions. A network that was cast to bf16 as a whole predicts only.
    """
    if x.device.type != "cpu" or weight.dtype != torch.float32 or not torch.is_grad_enabled():
        return convolve(x)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):  # torch 1.10 warns of its default type
        return convolve(x.float())
