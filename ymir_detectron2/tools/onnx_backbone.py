"""A ResNet from an ONNX file as the start of a training: its convolutions and norms under detectron2's names.

`weights from-onnx` is the command. Whatever follows the last block, a classifier, is left out.

Read are ResNets and ResNeXts as published (a 7x7 stem, max-pool, basic or bottleneck blocks), from any exporter: batch
norms may be nodes of their own, chains of Add, Sub, Mul and Div, or folded into the convolutions. Each becomes the
frozen norm `x * weight + bias`. Needs the package onnx.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import torch

from ..errors import ConfigError, ModelError
from ..retinanet.checkpoint import write_checkpoint
from ..retinanet.resnet import BLOCKS_PER_STAGE
from ..untrusted_files import open_regular

_LAYOUT_ONLY = ("Cast", "Identity", "Transpose", "Pad", "Dropout")
"""Operators that leave channels as they are."""
_FROZEN_EPS = 1e-5
"""Of detectron2's FrozenBatchNorm2d, which divides by sqrt(running_var + eps)."""


@dataclass(frozen=True)
class ConvLayer:
    """A convolution and the affine function that follows it."""

    weight: np.ndarray
    """(C_out, C_in / groups, kH, kW)."""
    scale: np.ndarray
    """(C_out,)."""
    shift: np.ndarray
    """(C_out,)."""
    stride: int
    groups: int
    dilation: int


@dataclass(frozen=True)
class Branch:
    """The convolutions between a tensor and the last sum or max-pool before it."""

    start: str
    """Name of the tensor of that sum or pool; '' for the input of the network."""
    layers: tuple[ConvLayer, ...] = ()
    is_open: bool = False
    """Whether what follows may still belong to the last layer: no ReLU has come in between."""


@dataclass(frozen=True)
class Block:
    """A residual block."""

    layers: tuple[ConvLayer, ...]
    shortcut: ConvLayer | None


@dataclass(frozen=True)
class OnnxResNet:
    """What was found in an ONNX file."""

    stem: ConvLayer
    stages: Sequence[Sequence[Block]]
    """Those of res2 to res5."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the tensors under detectron2's names."""
        named = {"stem.conv1": self.stem}
        for index, blocks in enumerate(self.stages):
            for number, block in enumerate(blocks):
                place = f"res{index + 2}.{number}"
                named.update({f"{place}.conv{i}": layer for i, layer in enumerate(block.layers, 1)})
                if block.shortcut:
                    named[f"{place}.shortcut"] = block.shortcut
        tensors = {}
        for name, layer in named.items():
            for key, value in _tensors(layer).items():
                tensors[f"backbone.bottom_up.{name}.{key}"] = torch.from_numpy(value.astype(np.float32))
        return tensors

    def config(self) -> dict[str, Any]:
        """Return the keys of MODEL.RESNETS that describe this network."""
        first, last = self.stages[0][0].layers, self.stages[3][-1].layers
        counts = tuple(len(blocks) for blocks in self.stages)
        depths = [depth for depth, known in BLOCKS_PER_STAGE.items() if (depth < 50) == (len(first) == 2)]
        depth = next((depth for depth in depths if tuple(BLOCKS_PER_STAGE[depth]) == counts), None)
        if depth is None:
            raise ModelError(f"has stages of {counts} blocks of {len(first)} convolutions, which no ResNet has")
        keys = {
            "DEPTH": depth,
            "NORM": "FrozenBN",
            "STEM_OUT_CHANNELS": len(self.stem.weight),
            "RES2_OUT_CHANNELS": len(first[-1].weight),
        }
        if len(first) == 3:
            groups = first[1].groups
            keys.update(NUM_GROUPS=groups, WIDTH_PER_GROUP=len(first[1].weight) // groups)
            keys.update(STRIDE_IN_1X1=self.stages[1][0].layers[0].stride == 2, RES5_DILATION=last[1].dilation)
        return keys


def _tensors(layer: ConvLayer) -> dict[str, np.ndarray]:
    """Return convolution and norm; the statistics are those of a norm that only scales and shifts."""
    ones = np.ones_like(layer.scale)
    return {
        "weight": layer.weight,
        "norm.weight": layer.scale,
        "norm.bias": layer.shift,
        "norm.running_mean": 0 * ones,
        "norm.running_var": ones - _FROZEN_EPS,
    }


def convert(onnx_file: Path, weights: Path) -> dict[str, Any]:
    """Write the weights of an ONNX file for `MODEL.WEIGHTS`; return the keys of MODEL that describe their network.

    Raises:
        ConfigError: the package onnx is missing.
        ModelError: no ONNX file, or no ResNet that detectron2 has.
        StorageError: the weights cannot be written.
    """
    network = read_onnx_resnet(onnx_file)
    keys = network.config()
    write_checkpoint(weights, network.state_dict(), {})
    return {"WEIGHTS": str(weights.resolve()), "RESNETS": keys}


def read_onnx_resnet(path: Path) -> OnnxResNet:
    """Read the ResNet of an ONNX file; tensors that it keeps in other files are not read.

    Raises:
        ConfigError: the package onnx is missing.
        ModelError: no ONNX file, or no ResNet that detectron2 has.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError("reading ONNX files needs the package onnx; run `pip install onnx`") from error
    try:
        with open_regular(path) as file:
            model = onnx.load_model_from_string(file.read())
        network = OnnxResNet(*_Reader(model.graph).read())
        network.config()  # before anything is written
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except Exception as error:  # protobuf and numpy_helper raise several kinds for a damaged file
        raise ModelError(f"{path}: is damaged or no ONNX file ({type(error).__name__}); export it again") from error
    return network


def _split_stages(blocks: Sequence[Block]) -> list[list[Block]]:
    """A block that projects its shortcut begins a stage; the first one does so without in ResNet-18 and -34."""
    stages: list[list[Block]] = []
    for number, block in enumerate(blocks):
        if number == 0 or block.shortcut:
            stages.append([])
        stages[-1].append(block)
    if len(stages) != 4:
        raise ModelError(f"has {len(stages)} stages of residual blocks, and a ResNet of detectron2 has 4")
    return stages


class _Reader:
    """Follows the nodes of a graph in their order, which is one of computation in every valid file."""

    def __init__(self, graph: Any) -> None:
        self._nodes = graph.node
        self._constants: dict[str, Callable[[], np.ndarray]] = {}
        self._branches: dict[str, Branch] = {}
        self._stem: ConvLayer | None = None
        self._blocks: list[Block] = []
        for tensor in graph.initializer:
            self._add_constant(tensor.name, tensor)
        for value in graph.input:
            if value.name not in self._constants:
                self._branches[value.name] = Branch("")

    def read(self) -> tuple[ConvLayer, list[list[Block]]]:
        """Return the stem and the residual blocks of each stage."""
        for node in self._nodes:
            self._follow(node)
        if self._stem is None or not self._blocks:
            raise ModelError("holds no ResNet: one convolution, a max-pool and residual blocks were looked for")
        return self._stem, _split_stages(self._blocks)

    def _follow(self, node: Any) -> None:
        source, output = node.input[0] if node.input else "", node.output[0]
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    self._add_constant(output, attribute.t)
        elif node.op_type in _LAYOUT_ONLY and source in self._constants and node.op_type != "Transpose":
            self._constants[output] = self._constants[source]
        else:
            branch = self._result(node)
            if branch is not None:  # else an operator that no ResNet has; nothing behind it is followed
                self._branches[output] = branch

    def _result(self, node: Any) -> Branch | None:
        before = [self._branches.get(name) for name in node.input]
        found = [branch for branch in before if branch is not None]
        if not found:
            return None
        branch = found[0]
        if node.op_type == "Conv":
            return replace(branch, layers=(*branch.layers, self._conv(node)), is_open=True)
        if node.op_type in _LAYOUT_ONLY:
            return branch
        if node.op_type == "Relu":
            return replace(branch, is_open=False)
        if node.op_type == "MaxPool":
            return self._after_stem(branch, node.output[0])
        if node.op_type == "Add" and len(found) == 2:
            return self._after_block(found, node.output[0])
        return self._normalised(node, branch) if len(found) == 1 else None

    def _conv(self, node: Any) -> ConvLayer:
        lists = {one.name: list(one.ints) for one in node.attribute}
        groups = next((one.i for one in node.attribute if one.name == "group"), 1)
        weight = self._constant(node.input[1])
        if weight is None or weight.ndim != 4:
            raise ModelError(f"the weights of the convolution {node.name!r} are computed; simplify the graph first")
        channels = len(weight)
        bias = self._constant(node.input[2]) if len(node.input) > 2 else None
        shift = np.zeros(channels) if bias is None else bias
        stride, dilation = ((lists.get(name) or [1])[0] for name in ("strides", "dilations"))
        return ConvLayer(weight, np.ones(channels), shift, stride, groups, dilation)

    def _after_stem(self, branch: Branch, output: str) -> Branch | None:
        if branch.start or self._stem is not None:
            return None
        if len(branch.layers) != 1 or branch.layers[0].weight.shape[2:] != (7, 7):
            raise ModelError("its stem is not one convolution of 7x7, as that of detectron2's ResNets")
        self._stem = branch.layers[0]
        return Branch(output)

    def _after_block(self, branches: Sequence[Branch], output: str) -> Branch | None:
        shortcut, main = sorted(branches, key=lambda branch: len(branch.layers))
        if shortcut.start != main.start or len(shortcut.layers) > 1 or len(main.layers) not in (2, 3):
            return None
        self._blocks.append(Block(main.layers, *(shortcut.layers or (None,))))
        return Branch(output)

    def _normalised(self, node: Any, branch: Branch) -> Branch | None:
        """Fold a batch norm, or a step of one, into the last layer."""
        if not branch.layers:  # the network's own normalisation of its input
            return branch if not branch.start else None
        step = self._affine_step(node)
        if step is None or not branch.is_open:
            return None
        layer, (scale, shift) = branch.layers[-1], step
        if scale.size not in (1, layer.scale.size) or shift.size not in (1, layer.scale.size):
            return None
        folded = replace(layer, scale=layer.scale * scale, shift=layer.shift * scale + shift)
        return replace(branch, layers=(*branch.layers[:-1], folded))

    def _affine_step(self, node: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Return scale and shift of x -> x * scale + shift; None for another function."""
        values = [self._constant(name) for name in node.input]
        if node.op_type == "BatchNormalization":
            gamma, beta, mean, var = (np.ravel(value) for value in values[1:5] if value is not None)
            eps = next((one.f for one in node.attribute if one.name == "epsilon"), 1e-5)
            scale = gamma / np.sqrt(var + eps)
            return scale, beta - mean * scale
        constant = next((np.ravel(value) for value in values if value is not None), None)
        if constant is None:
            return None
        is_first = values[0] is not None  # constant - x, constant / x
        one, none = np.ones(1), np.zeros(1)
        steps = {"Add": (one, constant), "Mul": (constant, none)}
        steps["Sub"] = (-one, constant) if is_first else (one, -constant)
        if not is_first:
            steps["Div"] = (1 / constant, none)
        return steps.get(node.op_type)

    def _add_constant(self, name: str, tensor: Any) -> None:
        from onnx import TensorProto, numpy_helper

        if tensor.data_location == TensorProto.EXTERNAL:  # another file, at a place that this one names
            raise ModelError("keeps its weights in other files; save it as one file")
        self._constants[name] = lambda: numpy_helper.to_array(tensor).astype(np.float64)

    def _constant(self, name: str) -> np.ndarray | None:
        read = self._constants.get(name)
        return read() if read else None
