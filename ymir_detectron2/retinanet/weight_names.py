"""Renaming of other programs' weights to the names of this model, which are detectron2's.

Caffe2, MSRA's ImageNet files      res2_0_branch2a_bn_s     -> backbone.bottom_up.res2.0.conv1.norm.weight
torchvision's ResNet               layer1.0.downsample.0.w… -> backbone.bottom_up.res2.0.shortcut.weight
detectron2's ImageNet files        stem.conv1.weight        -> backbone.bottom_up.stem.conv1.weight
"""

from __future__ import annotations

import re
from typing import Mapping, Match

from torch import Tensor

_BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_CAFFE2_PARAMETERS = {
    "w": "weight",
    "b": "bias",
    "s": "norm.weight",
    "gamma": "norm.weight",
    "beta": "norm.bias",
    "rm": "norm.running_mean",
    "running_mean": "norm.running_mean",
    "riv": "norm.running_var",
    "running_var": "norm.running_var",
}
_CAFFE2_TAIL = r"(?P<norm>(?:bn|gn)_)?(?P<parameter>w|b|s|gamma|beta|rm|riv|running_mean|running_var)$"
_CAFFE2_BLOCK = re.compile(r"^res(?P<stage>\d)_(?P<block>\d+)_branch(?P<branch>1|2a|2b|2c)_" + _CAFFE2_TAIL)
_CAFFE2_STEM = re.compile(r"^(?:res_)?conv1_" + _CAFFE2_TAIL)
_CAFFE2_LATERAL = re.compile(r"^fpn_inner_res(?P<stage>\d)_\d+_sum(?:_lateral)?_" + _CAFFE2_TAIL)
_CAFFE2_OUTPUT = re.compile(r"^fpn_res(?P<stage>\d)_\d+_sum_" + _CAFFE2_TAIL)
_TORCHVISION_MARK = "layer1.0.conv1.weight"


def to_model_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename all tensors; a name without a rule stays as it is."""
    state = dict(state_dict)
    if all(name.startswith("module.") for name in state):  # saved from inside DistributedDataParallel
        state = {name[len("module.") :]: value for name, value in state.items()}
    # decided for the whole file: a single `conv1_w` or `conv1.weight` could be anybody's
    if any(_CAFFE2_BLOCK.match(name) for name in state):
        # Caffe2 keeps the momentum of the optimizer among the weights
        state = {caffe2_name(name): value for name, value in state.items() if not name.endswith("_momentum")}
    elif _TORCHVISION_MARK in state:
        state = {torchvision_name(name): value for name, value in state.items()}
    return {_with_parent(name): value for name, value in state.items()}


def caffe2_name(name: str) -> str:
    """Rename one blob of Caffe2's ResNet or FPN."""
    match = _CAFFE2_BLOCK.match(name)
    if match:
        return f"res{match['stage']}.{match['block']}.{_BRANCHES[match['branch']]}.{_caffe2_parameter(match)}"
    match = _CAFFE2_STEM.match(name)
    if match:
        return f"stem.conv1.{_caffe2_parameter(match)}"
    for pattern, kind in ((_CAFFE2_LATERAL, "lateral"), (_CAFFE2_OUTPUT, "output")):
        match = pattern.match(name)
        if match:
            return f"fpn_{kind}{match['stage']}.{_caffe2_parameter(match)}"
    return name


def torchvision_name(name: str) -> str:
    """Rename one tensor of torchvision.models.resnet*."""
    if not name.startswith("layer"):
        name = "stem." + name
    name = re.sub(r"^layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)\b", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def _caffe2_parameter(match: Match[str]) -> str:
    parameter = match["parameter"]
    # `_bn_b` and `_gn_b` are the norm's, a plain `_b` is the bias of the convolution
    return "norm.bias" if match["norm"] and parameter == "b" else _CAFFE2_PARAMETERS[parameter]


def _with_parent(name: str) -> str:
    """The name of a bare backbone tensor within the detector."""
    if re.match(r"^(stem|res[2-5])\.", name):
        return "backbone.bottom_up." + name
    if re.match(r"^fpn_(lateral|output)\d\.", name):
        return "backbone." + name
    return name
