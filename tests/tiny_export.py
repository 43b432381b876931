"""A small network with many detections, and its ONNX file, for the tests of the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny_training import CLASSES, build, config
from ymir_detectron2.export.onnx_check import edges_of
from ymir_detectron2.export.onnx_model import OnnxRetinaNet, describe, write_onnx
from ymir_detectron2.retinanet.decoding import PostprocessConfig
from ymir_detectron2.retinanet.model import RetinaNet

INPUT_HW = (72, 104)  # no multiples of the pyramid's step
POSTPROCESS = PostprocessConfig(score_threshold=0.05, nms_threshold=0.5, max_candidates=1000, max_detections=100)


def detecting(**values: Any) -> RetinaNet:
    """A network that detects many boxes, all over the image and of both classes."""
    model = build(config(**values)).eval()
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.3)
    torch.nn.init.normal_(model.head.bbox_pred.weight, std=0.05)
    torch.nn.init.constant_(model.head.cls_score.bias, -2.0)
    return model


def exported(folder: Path, model: RetinaNet, opset: int = 0) -> Path:
    """Write the ONNX file of a network; return its path."""
    file = folder / "model.onnx"
    metadata = describe(CLASSES, INPUT_HW, POSTPROCESS, edges_of(model))
    write_onnx(file, OnnxRetinaNet(model, INPUT_HW, POSTPROCESS), INPUT_HW, opset, metadata)
    return file
