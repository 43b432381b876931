"""Names of weights that other programs wrote, turned into those of this model.

Caffe2, MSRA's ImageNet files      res2_0_branch2a_bn_s     -> backbone.bottom_up.res2.0.conv1.norm.weight
torchvision's ResNet               layer1.0.downsample.0.w… -> backbone.bottom_up.res2.0.shortcut.weight
detectron2's ImageNet files        stem.conv1.weight        -> backbone.bottom_up.stem.conv1.weight
"""

from __future__ import annotations

import re
from typing import Mapping, Match

from torch import Tensor

_BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_CAFFE2_PARTS = {
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
_CAFFE2_TAIL = r"(?P<norm>(?:bn|gn)_)?(?P<part>w|b|s|gamma|beta|rm|riv|running_mean|running_var)$"
_CAFFE2_BLOCK = re.compile(r"^res(?P<stage>\d)_(?P<block>\d+)_branch(?P<branch>1|2a|2b|2c)_" + _CAFFE2_TAIL)
_CAFFE2_STEM = re.compile(r"^(?:res_)?conv1_" + _CAFFE2_TAIL)
_CAFFE2_LATERAL = re.compile(r"^fpn_inner_res(?P<stage>\d)_\d+_sum(?:_lateral)?_" + _CAFFE2_TAIL)
_CAFFE2_OUTPUT = re.compile(r"^fpn_res(?P<stage>\d)_\d+_sum_" + _CAFFE2_TAIL)
_TORCHVISION_MARK = "layer1.0.conv1.weight"


def to_model_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename all tensors; a name that no rule knows stays as it is."""
    state = _without_prefix(state_dict, "module.")  # DistributedDataParallel's
    if any(_CAFFE2_BLOCK.match(name) for name in state):
        state = {caffe2_name(name): value for name, value in state.items() if not name.endswith("_momentum")}
    elif _TORCHVISION_MARK in state:
        state = {torchvision_name(name): value for name, value in state.items()}
    return {_placed(name): value for name, value in state.items()}


def caffe2_name(name: str) -> str:
    """Rename one blob of Caffe2's ResNet or FPN."""
    found = _CAFFE2_BLOCK.match(name)
    if found:
        return f"res{found['stage']}.{found['block']}.{_BRANCHES[found['branch']]}.{_caffe2_part(found)}"
    found = _CAFFE2_STEM.match(name)
    if found:
        return f"stem.conv1.{_caffe2_part(found)}"
    for pattern, kind in ((_CAFFE2_LATERAL, "lateral"), (_CAFFE2_OUTPUT, "output")):
        found = pattern.match(name)
        if found:
            return f"fpn_{kind}{found['stage']}.{_caffe2_part(found)}"
    return name


def torchvision_name(name: str) -> str:
    """Rename one tensor of torchvision.models.resnet*."""
    if not name.startswith("layer"):
        name = "stem." + name
    name = re.sub(r"^layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)\b", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def _caffe2_part(found: Match[str]) -> str:
    part = found["part"]
    return "norm.bias" if found["norm"] and part == "b" else _CAFFE2_PARTS[part]


def _placed(name: str) -> str:
    """Put a bare backbone tensor where the detector has it."""
    if re.match(r"^(stem|res[2-5])\.", name):
        return "backbone.bottom_up." + name
    if re.match(r"^fpn_(lateral|output)\d\.", name):
        return "backbone." + name
    return name


def _without_prefix(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if not all(name.startswith(prefix) for name in state_dict):
        return dict(state_dict)
    return {name[len(prefix) :]: value for name, value in state_dict.items()}
