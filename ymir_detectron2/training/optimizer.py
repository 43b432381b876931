"""SGD with detectron2's parameter groups, and its gradient clipping.

Source: the behaviour of detectron2's `build_optimizer`: no weight decay on normalisation layers unless
WEIGHT_DECAY_NORM says so, BIAS_LR_FACTOR and WEIGHT_DECAY_BIAS for biases, clipping parameter by parameter.
"""

from __future__ import annotations

from typing import Any, Iterable

import torch
from torch import nn

from ..config.retinanet_config import RetinaNetConfig

_NORM_LAYERS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_optimizer(cfg: RetinaNetConfig, model: nn.Module) -> torch.optim.SGD:
    """Build SGD over the parameters that are not frozen; each group keeps its base learning rate as `initial_lr`."""
    # few large groups, keyed by learning rate and weight decay: SGD updates a group with one kernel
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            lr, weight_decay = cfg["SOLVER.BASE_LR"], cfg["SOLVER.WEIGHT_DECAY"]
            if isinstance(module, _NORM_LAYERS):
                weight_decay = cfg["SOLVER.WEIGHT_DECAY_NORM"]
            if name == "bias":  # after the norm, as in detectron2: WEIGHT_DECAY_BIAS is for the biases of norms too
                lr *= cfg["SOLVER.BIAS_LR_FACTOR"]
                if cfg["SOLVER.WEIGHT_DECAY_BIAS"] is not None:
                    weight_decay = cfg["SOLVER.WEIGHT_DECAY_BIAS"]
            groups.setdefault((lr, weight_decay), []).append(parameter)
    listed: list[dict[str, Any]] = [
        {"params": parameters, "lr": lr, "initial_lr": lr, "weight_decay": weight_decay}
        for (lr, weight_decay), parameters in groups.items()
    ]
    return torch.optim.SGD(
        listed, lr=cfg["SOLVER.BASE_LR"], momentum=cfg["SOLVER.MOMENTUM"], nesterov=cfg["SOLVER.NESTEROV"]
    )


def clip_gradients(cfg: RetinaNetConfig, parameters: Iterable[nn.Parameter]) -> None:
    """Clip each parameter's gradient by value or by its norm, if CLIP_GRADIENTS is enabled."""
    if not cfg["SOLVER.CLIP_GRADIENTS.ENABLED"]:
        return
    kind, limit = cfg["SOLVER.CLIP_GRADIENTS.CLIP_TYPE"], cfg["SOLVER.CLIP_GRADIENTS.CLIP_VALUE"]
    # one parameter at a time: detectron2's "norm" is that of a parameter, not the common one of the whole model
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if kind == "value":
            nn.utils.clip_grad_value_(parameter, limit)
        else:
            nn.utils.clip_grad_norm_(parameter, limit, cfg["SOLVER.CLIP_GRADIENTS.NORM_TYPE"])


def gradient_norm(parameters: Iterable[nn.Parameter]) -> torch.Tensor:
    """Return the Euclidean norm of all gradients together, a scalar on their device."""
    norms = [parameter.grad.norm() for parameter in parameters if parameter.grad is not None]
    return torch.stack(norms).norm()
