"""ResNets from ONNX files: networks of other programs, and what is no ResNet."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.errors import ModelError
from ymir_detectron2.retinanet.checkpoint import read_checkpoint
from ymir_detectron2.retinanet.resnet import ResNet, build_resnet
from ymir_detectron2.tools.onnx_backbone import convert
from ymir_detectron2.tools.weights import main

IMAGE_HW = (64, 96)
FEATURES = ("res2", "res3", "res4", "res5")


def built(keys: dict[str, Any], weights: Path) -> ResNet:
    """Our network by the printed keys, with the written weights."""
    values = {f"MODEL.RESNETS.{key}": value for key, value in keys.items()}
    values.update({"MODEL.RESNETS.OUT_FEATURES": list(FEATURES), "MODEL.BACKBONE.FREEZE_AT": 0})
    network = build_resnet(RetinaNetConfig.default().merged(values, "test")).eval()
    prefix = "backbone.bottom_up."
    state = {name[len(prefix) :]: value for name, value in read_checkpoint(weights).state_dict.items()}
    network.load_state_dict(state)
    return network


def converted(file: Path) -> tuple[dict[str, Any], ResNet]:
    weights = file.with_suffix(".pth")
    keys = convert(file, weights)
    assert keys["WEIGHTS"] == str(weights)
    return keys["RESNETS"], built(keys["RESNETS"], weights)


def with_random_statistics(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize(
    ("network", "keys", "keeps_norms"),
    [
        pytest.param(
            lambda: TorchvisionResNet(BasicBlock, [2, 2, 2, 2]), {"DEPTH": 18}, True, id="ResNet-18, norms as nodes"
        ),
        pytest.param(
            lambda: TorchvisionResNet(Bottleneck, [3, 4, 6, 3], groups=2, width_per_group=4),
            {"DEPTH": 50, "NUM_GROUPS": 2, "WIDTH_PER_GROUP": 4, "STRIDE_IN_1X1": False, "RES5_DILATION": 1}, False,
            id="narrow ResNeXt-50, norms folded by the exporter",
        ),
    ],
)  # fmt: skip
def test_torchvisions_networks_give_the_same_features(
    tmp_path: Path, network: Any, keys: dict[str, Any], keeps_norms: bool
):
    torch.manual_seed(0)
    theirs = with_random_statistics(network())
    image = torch.randn(1, 3, *IMAGE_HW)
    export(theirs, image, tmp_path / "model.onnx", keeps_norms)
    found, ours = converted(tmp_path / "model.onnx")
    assert keys.items() <= found.items()
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        for number, feature in enumerate(ours(image).values(), 1):
            x = getattr(theirs, f"layer{number}")(x)
            torch.testing.assert_close(feature, x, rtol=1e-3, atol=1e-3 * float(x.abs().max()))


def export(network: nn.Module, image: torch.Tensor, file: Path, keeps_norms: bool) -> None:
    mode = torch.onnx.TrainingMode.PRESERVE if keeps_norms else torch.onnx.TrainingMode.EVAL
    options: dict[str, Any] = {"dynamo": False} if int(torch.__version__.split(".")[0]) > 1 else {}
    written = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is deprecated
        torch.onnx.export(network, image, written, opset_version=13, training=mode, **options)
    file.write_bytes(written.getvalue())
    kinds = {node.op_type for node in onnx.load(str(file)).graph.node}
    assert ("BatchNormalization" in kinds) == keeps_norms


class ChainWriter:
    """Writes a ResNet-18 of four channels as converters from TensorFlow do: NHWC between the convolutions, and each
    norm as (x + bias - mean) * scale / divisor + shift."""

    blocks_per_stage = 2

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [f"t{len(self.nodes)}"], **attributes))
        return f"t{len(self.nodes) - 1}"

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(self, x: str, channels: tuple[int, int], size: int, stride: int) -> str:
        deviation = (channels[0] * size * size) ** -0.5
        weight = self.constant(self.random.normal(0, deviation, (*channels[::-1], size, size)))
        nchw = self.node("Transpose", x, perm=[0, 3, 1, 2])
        nchw = self.node("Conv", nchw, weight, strides=[stride] * 2, pads=[size // 2] * 4)
        x = self.node("Transpose", nchw, perm=[0, 2, 3, 1])
        for kind, low, high in (("Add", -1, 1), ("Sub", -1, 1), ("Mul", 0.5, 1.5), ("Div", 0.5, 1.5), ("Add", -1, 1)):
            x = self.node(kind, x, self.constant(self.random.uniform(low, high, channels[1])))
        return x

    def block(self, x: str, channels: tuple[int, int], stride: int) -> str:
        main = self.node("Relu", self.conv(x, channels, 3, stride))
        main = self.conv(main, (channels[1], channels[1]), 3, 1)
        return self.node("Relu", self.node("Add", main, self.conv(x, channels, 1, stride) if stride > 1 else x))

    def write(self, file: Path) -> list[str]:
        """Write the file; return the names of the outputs of the four stages."""
        x = self.node("Relu", self.conv("image", (3, 4), 7, 2))
        pooled = self.node("Transpose", x, perm=[0, 3, 1, 2])
        pooled = self.node("MaxPool", pooled, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        x, stages = self.node("Transpose", pooled, perm=[0, 2, 3, 1]), []
        for index in range(4):
            wide = 4 * 2**index
            x = self.block(x, (wide if index == 0 else wide // 2, wide), 1 if index == 0 else 2)
            for _ in range(self.blocks_per_stage - 1):
                x = self.block(x, (wide, wide), 1)
            stages.append(x)
        inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, *IMAGE_HW, 3])]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in stages]
        graph = helper.make_graph(self.nodes, "chains", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        onnx.checker.check_model(model)
        file.write_bytes(model.SerializeToString())
        return stages


def test_norms_as_chains_between_transposes_give_the_same_features(tmp_path: Path):
    file = tmp_path / "chains.onnx"
    names = ChainWriter().write(file)
    found, ours = converted(file)
    assert found == {"DEPTH": 18, "NORM": "FrozenBN", "STEM_OUT_CHANNELS": 4, "RES2_OUT_CHANNELS": 4}
    image = np.random.default_rng(1).normal(size=(1, *IMAGE_HW, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected = session.run(names, {"image": image})
    with torch.no_grad():
        features = ours(torch.from_numpy(image).permute(0, 3, 1, 2))
    for feature, theirs in zip(features.values(), expected):
        np.testing.assert_allclose(feature.permute(0, 2, 3, 1).numpy(), theirs, rtol=1e-3, atol=1e-4)


def write_graph(file: Path, nodes: list[Any], constants: list[Any]) -> Path:
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    file.write_bytes(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants)).SerializeToString())
    return file


def test_what_is_no_resnet_is_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    elsewhere = numpy_helper.from_array(np.ones((4, 3, 7, 7), np.float32), "w")
    elsewhere.ClearField("raw_data")
    elsewhere.data_location = TensorProto.EXTERNAL
    elsewhere.external_data.add(key="location", value="/etc/passwd")
    alone = helper.make_node("Conv", ["image", "w"], ["out"])
    stem = [
        helper.make_node("Conv", ["image", "w"], ["x"]),
        helper.make_node("MaxPool", ["x"], ["out"], kernel_shape=[3, 3]),
    ]
    of_itself = helper.make_node("Conv", ["image", "image"], ["out"])
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\xff" * 50)
    cases = {
        "is damaged": damaged,
        "No such file": tmp_path / "missing.onnx",
        "holds no ResNet": write_graph(tmp_path / "one.onnx", [alone], [weight]),
        "stem is not one convolution of 7x7": write_graph(tmp_path / "stem.onnx", stem, [weight]),
        "are computed": write_graph(tmp_path / "computed.onnx", [of_itself], []),
        "keeps its weights in other files": write_graph(tmp_path / "external.onnx", stem, [elsewhere]),
    }
    for reason, file in cases.items():
        with pytest.raises(ModelError, match=reason):
            convert(file, tmp_path / "x.pth")
        assert main(["from-onnx", str(file), str(tmp_path / "x.pth")]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert str(file) in lines[0]
    assert not (tmp_path / "x.pth").exists()


def test_a_residual_network_of_other_stages_is_refused(tmp_path: Path):
    writer = ChainWriter()
    writer.blocks_per_stage = 1
    writer.write(tmp_path / "ten.onnx")
    with pytest.raises(ModelError, match=r"has stages of \(1, 1, 1, 1\) blocks of 2 convolutions, which no ResNet has"):
        convert(tmp_path / "ten.onnx", tmp_path / "x.pth")


def test_the_command_prints_what_belongs_into_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ChainWriter().write(tmp_path / "chains.onnx")
    weights = tmp_path / "resnet.pth"
    assert main(["from-onnx", str(tmp_path / "chains.onnx"), str(weights)]) == 0
    config = tmp_path / "config.yaml"
    config.write_text(capsys.readouterr().out, encoding="utf-8")
    cfg = load_config(config)
    assert (cfg["MODEL.WEIGHTS"], cfg["MODEL.RESNETS.DEPTH"]) == (str(weights), 18)
