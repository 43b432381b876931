"""Networks of the detectron2 engine: how they are built, and which weights find their places in them."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.running import TINY_CONFIG
from tests.used_memory import used_memory
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.devices import read_facts
from ymir_detectron2.engines.zoo import zoo_folders
from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.retinanet.checkpoint import read_checkpoint, write_checkpoint

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.utils.events import EventStorage

    from ymir_detectron2.engines.detectron2_engine import Detectron2Engine
    from ymir_detectron2.engines.detectron2_engine.configuration import Detectron2Config, load_config
    from ymir_detectron2.engines.detectron2_engine.data import blank_image
    from ymir_detectron2.engines.detectron2_engine.network import (
        build_network,
        check_deformable,
        fill_network,
        train_in,
    )

CPU = torch.device("cpu")
TWO_STAGES = {
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8, "MODEL.RESNETS.WIDTH_PER_GROUP": 8, "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.NORM": "BN", "MODEL.BACKBONE.FREEZE_AT": 0, "MODEL.ROI_HEADS.NUM_CLASSES": 2,
    "INPUT.MIN_SIZE_TEST": 64, "INPUT.MAX_SIZE_TEST": 96, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 1e-6,
    "MODEL.PIXEL_STD": [57.0, 57.0, 58.0],
}  # fmt: skip


def small(name: str) -> Detectron2Config:
    if name == "retinanet":
        values = {"MODEL.RETINANET.NUM_CLASSES": 2, "MODEL.RETINANET.SCORE_THRESH_TEST": 0.004}
        return load_config(TINY_CONFIG).merged(values, "test")
    if not zoo_folders():
        pytest.skip("this detectron2 was installed without its configs")
    return load_config(zoo_folders()[0] / "COCO-Detection" / f"{name}.yaml").merged(TWO_STAGES, "test")


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_FPN_1x"])
def test_an_image_without_objects_has_a_loss_with_a_gradient_for_every_weight(name: str):
    """Else one process of several would wait for ever for the gradients of another."""
    model = build_network(small(name), CPU)
    with EventStorage():
        losses = model([blank_image(), blank_image()])
    sum(losses.values()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_FPN_1x", "faster_rcnn_R_50_C4_1x"])
def test_imagenet_weights_find_their_places(name: str, tmp_path: Path):
    """Caffe2's names in a pickle, as the published R-50.pkl; C4 has res5 in its head, the others below a pyramid."""
    model = build_network(small(name), CPU)
    own = model.state_dict()
    places = {"conv1_w": "stem.conv1.weight", "res3_0_branch2b_w": "res3.0.conv2.weight",
              "res5_2_branch2c_w": "res5.2.conv3.weight"}  # fmt: skip
    targets = {blob: next(key for key in own if key.endswith(tail)) for blob, tail in places.items()}
    blobs = {blob: np.full(tuple(own[key].shape), 0.25, np.float32) for blob, key in targets.items()}
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps(blobs, protocol=2))
    report = fill_network(model, read_checkpoint(path).state_dict, str(path))
    assert report.num_loaded == 3
    assert all((model.state_dict()[key] == 0.25).all() for key in targets.values())


def test_weights_of_something_else_are_refused():
    model = build_network(small("retinanet"), CPU)
    with pytest.raises(ModelError, match="no tensor fits the backbone"):
        fill_network(model, {"features.0.weight": torch.zeros(1)}, "other.pth")


@pytest.mark.skipif(not read_facts(CPU).has_bf16, reason="no bf16 here")
@pytest.mark.parametrize("hw", [(32, 32), (64, 64)])
def test_gradients_of_narrow_levels_are_finite_in_bf16(hw: tuple[int, int]):
    """As in the torch engine; the image in place of an unreadable one, for several processes, is as small as that."""
    model = build_network(small("retinanet"), CPU)
    train_in(model, CPU, torch.bfloat16)
    for _ in range(8):
        model.zero_grad()
        used_memory()
        features = model.backbone(torch.randn(2, 3, *hw).to(memory_format=torch.channels_last))
        sum(level.float().sum() for level in features.values()).backward()
        for name in ("p6", "p7"):
            assert torch.isfinite(getattr(model.backbone.top_block, name).weight.grad).all(), name


def test_other_networks_predict_in_fp32_on_the_cpu_where_bf16_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cfg = small("faster_rcnn_R_50_FPN_1x")
    write_checkpoint(tmp_path / "model.pth", build_network(cfg, CPU).state_dict(), {"class_names": ["a", "b"]})
    (tmp_path / "config.yaml").write_text(cfg.to_yaml())
    package = ModelPackage(tmp_path / "model.pth", tmp_path / "config.yaml", ("a", "b"), "model_params_path")
    options = DetectorOptions(InferSettings(precision="bf16"), (), 0.0, 1, {}, ("a", "b"))
    detector = Detectron2Engine().load_detector(package, options)
    assert detector.arithmetic.startswith("fp32 on CPU (")
    warnings_of_precision = [line for line in caplog.messages if line.startswith("precision: bf16 ")]
    assert len(warnings_of_precision) == 1


@pytest.fixture
def deformable(monkeypatch: pytest.MonkeyPatch) -> Detectron2Config:
    """Without detectron2's compiled part, whether it is there or not."""
    monkeypatch.setitem(sys.modules, "detectron2._C", None)
    monkeypatch.delattr("detectron2._C", raising=False)
    return small("retinanet").merged({"MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False, True, True, True]}, "test")


def test_deformable_convolutions_need_the_compiled_part(deformable: Detectron2Config):
    for device in (CPU, torch.device("cuda", 0)):
        with pytest.raises(ConfigError, match=r"need the compiled part of detectron2 \(detectron2._C\), which is mis"):
            check_deformable(deformable, device, training=False)
    check_deformable(small("retinanet"), CPU, training=True)


@pytest.mark.parametrize(
    ("values", "training", "on_cpu"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"MODEL.RESNETS.DEFORM_MODULATED": True}, False, False),
        ({"MODEL.RESNETS.DEFORM_NUM_GROUPS": 2}, False, False),
    ],
)
def test_the_compiled_part_has_little_for_the_cpu(
    deformable: Detectron2Config, monkeypatch: pytest.MonkeyPatch, values: dict, training: bool, on_cpu: bool
):
    """It has no gradient there, and the forward pass of the plain form alone."""
    compiled = SimpleNamespace(deform_conv_forward=None)  # stands for detectron2's extension, which this test may lack
    monkeypatch.setitem(sys.modules, "detectron2._C", compiled)
    monkeypatch.setattr("detectron2._C", compiled, raising=False)
    cfg = deformable.merged(values, "test")
    check_deformable(cfg, torch.device("cuda", 0), training=training)
    if on_cpu:
        check_deformable(cfg, CPU, training=training)
    else:
        with pytest.raises(ConfigError, match=r"^MODEL.RESNETS.DEFORM_ON_PER_STAGE: .* on a GPU only"):
            check_deformable(cfg, CPU, training=training)


def test_a_network_that_detectron2_cannot_build_is_one_sentence():
    cfg = small("retinanet").merged({"MODEL.RESNETS.DEPTH": 51}, "test")
    with pytest.raises(ConfigError, match="detectron2 cannot build this network"):
        build_network(cfg, CPU)
