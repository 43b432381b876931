"""SGD with detectron2's parameter groups, and its gradient clipping.

Source: the behaviour of detectron2's `build_optimizer`: no weight decay on normalisation layers unless
WEIGHT_DECAY_NORM says so, BIAS_LR_FACTOR and WEIGHT_DECAY_BIAS for biases, clipping parameter by parameter.
"""

from __future__ import annotations

from typing import Any, Iterable

import torch
from torch import nn

from ..errors import ConfigError
from ..retinanet.config import Config

_NORM_LAYERS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_optimizer(cfg: Config, model: nn.Module) -> torch.optim.SGD:
    """Build SGD over the parameters that are not frozen. Each group keeps its own `initial_lr`."""
    groups: list[dict[str, Any]] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            lr, weight_decay = cfg["SOLVER.BASE_LR"], cfg["SOLVER.WEIGHT_DECAY"]
            if isinstance(module, _NORM_LAYERS):
                weight_decay = cfg["SOLVER.WEIGHT_DECAY_NORM"]
            if name == "bias":
                lr *= cfg["SOLVER.BIAS_LR_FACTOR"]
                if cfg["SOLVER.WEIGHT_DECAY_BIAS"] is not None:
                    weight_decay = cfg["SOLVER.WEIGHT_DECAY_BIAS"]
            _add_to_group(groups, parameter, lr, weight_decay)
    return torch.optim.SGD(
        groups, lr=cfg["SOLVER.BASE_LR"], momentum=cfg["SOLVER.MOMENTUM"], nesterov=cfg["SOLVER.NESTEROV"]
    )


def _add_to_group(groups: list[dict[str, Any]], parameter: nn.Parameter, lr: float, weight_decay: float) -> None:
    """Few large groups: the optimizer updates a group with one kernel."""
    for group in groups:
        if group["initial_lr"] == lr and group["weight_decay"] == weight_decay:
            group["params"].append(parameter)
            return
    groups.append({"params": [parameter], "lr": lr, "initial_lr": lr, "weight_decay": weight_decay})


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply every group's own rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def clip_gradients(cfg: Config, parameters: Iterable[nn.Parameter]) -> None:
    """Clip each parameter's gradient by value or by its norm, where the config asks for it."""
    if not cfg["SOLVER.CLIP_GRADIENTS.ENABLED"]:
        return
    kind, limit = cfg["SOLVER.CLIP_GRADIENTS.CLIP_TYPE"], cfg["SOLVER.CLIP_GRADIENTS.CLIP_VALUE"]
    if kind not in ("value", "norm"):
        raise ConfigError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE: must be value or norm, found {kind!r}")
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if kind == "value":
            nn.utils.clip_grad_value_(parameter, limit)
        else:
            nn.utils.clip_grad_norm_(parameter, limit, cfg["SOLVER.CLIP_GRADIENTS.NORM_TYPE"])


def gradient_norm(parameters: Iterable[nn.Parameter]) -> torch.Tensor:
    """The Euclidean norm of all gradients together, a scalar on their device."""
    norms = [parameter.grad.norm() for parameter in parameters if parameter.grad is not None]
    return torch.stack(norms).norm()
