"""Networks as detectron2 builds them, and how weights are loaded into them without running code of the file."""

from __future__ import annotations

import functools
from typing import Any, Mapping

import torch
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.modeling import RetinaNet, build_model
from torch import Tensor, nn

from ...errors import ConfigError, error_summary
from ...retinanet.checkpoint import LoadReport, load_weights
from ...retinanet.layers import with_sound_gradient
from .configuration import Detectron2Config

CLASS_LAYERS = ("head.cls_score.", "roi_heads.box_predictor.")

_PYRAMID = "backbone.bottom_up."


def check_deformable(cfg: Detectron2Config, device: torch.device, *, training: bool) -> None:
    """Refuse deformable convolutions where detectron2 has no code for them.

    Raises:
        ConfigError: its compiled part is missing, or the device is the CPU, which has part of their forward pass only.
    """
    if not any(cfg["MODEL.RESNETS.DEFORM_ON_PER_STAGE"]):
        return
    try:
        from detectron2 import _C

        is_compiled = hasattr(_C, "deform_conv_forward")
    except ImportError:
        is_compiled = False
    if not is_compiled:
        raise ConfigError(
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE: deformable convolutions need the compiled part of detectron2"
            " (detectron2._C), which is missing here; use the image that has it, install detectron2 with a compiler as"
            " its INSTALL.md says, or choose a network without them"
        )
    has_cpu_code = not (training or cfg["MODEL.RESNETS.DEFORM_MODULATED"] or cfg["MODEL.RESNETS.DEFORM_NUM_GROUPS"] > 1)
    if device.type == "cpu" and not has_cpu_code:
        raise ConfigError(
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE: detectron2 computes these deformable convolutions on a GPU only; set"
            " gpu_id, or choose a network without them"
        )


def build_network(cfg: Detectron2Config, device: torch.device) -> nn.Module:
    """Build the network on its device, with random weights.

    Raises:
        ConfigError: detectron2 cannot build it.
    """
    try:
        model: nn.Module = build_model(cfg.merged({"MODEL.DEVICE": str(device)}, "the device").node())
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        finding = error_summary(error)
        raise ConfigError(
            f"detectron2 cannot build this network ({finding}); correct config_file or args_options"
        ) from error
    if any(cfg["MODEL.RESNETS.DEFORM_ON_PER_STAGE"]):
        return model  # detectron2's deformable convolutions accept contiguous tensors only
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def train_in(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Run the forward pass of training steps under autocast to `dtype`; detectron2 itself offers fp16 only.

    The losses of a RetinaNet stay in fp32, as in the torch engine. Other networks run under autocast as a whole, as in
    detectron2's AMPTrainer.
    """
    autocast = torch.autocast(device.type, dtype=dtype)
    if not isinstance(model, RetinaNet):
        model.forward = autocast(model.forward)  # type: ignore[method-assign]
        return
    top_block = model.backbone.top_block
    if hasattr(top_block, "p6"):
        top_block.forward = functools.partial(with_sound_gradient, top_block.forward, weight=top_block.p6.weight)
    head = autocast(model.head.forward)
    model.backbone.forward = autocast(model.backbone.forward)
    model.head.forward = lambda features: tuple([level.float() for level in levels] for levels in head(features))


def fill_network(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> LoadReport:
    """Copy the tensors that fit; see `load_weights`."""
    if isinstance(model, RetinaNet):
        return load_weights(model, state_dict, source)
    return load_weights(model, _renamed(model, state_dict), source, backbone="backbone.")


def _renamed(model: nn.Module, state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Rename ImageNet weights for this network: C4 has res5 in its head, DC5 has no pyramid around the backbone."""
    own: dict[str, Any] = model.state_dict()
    if any(name in own for name in state_dict):
        return state_dict
    # detectron2's own matching by the longest common suffix; it needs the names without our pyramid's prefix
    bare = {name[len(_PYRAMID) :] if name.startswith(_PYRAMID) else name: tensor for name, tensor in state_dict.items()}
    return align_and_update_state_dicts(own, bare, c2_conversion=False)  # type: ignore[no-any-return]
