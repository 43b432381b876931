"""Export a RetinaNet to ONNX: from the pixels of one image to its boxes, with decoding and NMS in the graph.

    image     (1, H, W, 3) uint8, BGR, as OpenCV reads it: the image in the upper left corner, the rest of any value
    image_hw  (2,) int64: height and width of the image in there
    boxes     (n, 4) float32: x1 y1 x2 y2 in pixels of `image`, x2 and y2 exclusive; best score first
    scores    (n,) float32 in [0, 1]
    classes   (n,) int64: position in the class names, which the metadata of the model holds as JSON

Letters: H and W of the input, K classes, A anchors of a level, C candidates of a level, n boxes.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from inspect import signature
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence, cast

import torch
from torch import Tensor, nn

from ..atomic_file import atomic_write
from ..dataset.bit_depth import STRETCH_RULE
from ..retinanet.boxes import decode_boxes
from ..retinanet.decoding import PostprocessConfig
from ..retinanet.inference_optimizations import prepare_for_inference
from ..retinanet.model import RetinaNet
from .onnx_nms import select_boxes

TESTED_OPSET = 17 if hasattr(torch, "compile") else 13  # torch 1.10 knows none above 14
INPUTS, OUTPUTS = ("image", "image_hw"), ("boxes", "scores", "classes")


class OnnxRetinaNet(nn.Module):
    """The network with preprocessing and decoding, for one size of input, in operations that the exporter knows."""

    def __init__(self, model: RetinaNet, input_hw: tuple[int, int], postprocess: PostprocessConfig) -> None:
        """
        Args:
            model: on the CPU, in float32; it is copied.
            input_hw: height and width of `image`.
        """
        super().__init__()
        # ONNX knows neither channels-last nor oneDNN's convolution
        self._model = copy.deepcopy(model).eval().to(memory_format=torch.contiguous_format)
        prepare_for_inference(self._model, fix_kernels=False)
        self._input_hw = input_hw
        self._postprocess = postprocess
        self._rgb = model.cfg["INPUT.FORMAT"] == "RGB"
        self._weights = model.cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"]
        statistics = [model.cfg["MODEL.PIXEL_MEAN"], model.cfg["MODEL.PIXEL_STD"]]
        self._mean, self._std = torch.tensor(statistics, dtype=torch.float32).view(2, 1, 3, 1, 1).unbind(dim=0)

    def forward(self, image: Tensor, image_hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect objects; inputs and outputs as in the module's table."""
        dense = self._model(self._normalised(image, image_hw))
        levels = [self._candidates(*level) for level in zip(dense.logits, dense.deltas, dense.anchors)]
        boxes, scores, classes = (torch.cat(field) for field in zip(*levels))
        kept = select_boxes(boxes, scores, classes, self._model.num_classes, self._postprocess)
        limits = torch.cat([image_hw.flip(0), image_hw.flip(0)]).to(torch.float32)
        clipped = torch.min(boxes[kept].clamp(min=0), limits)  # torch 1.10 cannot export torch.minimum
        x1, y1, x2, y2 = clipped.unbind(dim=1)
        inside = torch.nonzero((x2 > x1) & (y2 > y1))[:, 0]  # boxes outside the image have no area left
        return clipped[inside], scores[kept][inside], classes[kept][inside]

    def _normalised(self, image: Tensor, image_hw: Tensor) -> Tensor:
        """(1, H, W, 3) uint8 -> (1, 3, H', W') float32: zeros outside of the image, padded as the pyramid needs."""
        pixels = image.permute(0, 3, 1, 2).to(torch.float32)
        pixels = (pixels.flip(1) if self._rgb else pixels) - self._mean
        height, width = self._input_hw
        inside = (torch.arange(height) < image_hw[0])[:, None] & (torch.arange(width) < image_hw[1])[None, :]
        # the input is fixed, the image in it is not: what `preprocess` pads, the graph masks
        pixels = torch.where(inside, pixels / self._std, torch.zeros(()))
        step = self._model.backbone.size_divisibility
        return nn.functional.pad(pixels, (0, -width % step, 0, -height % step))

    def _candidates(self, logits: Tensor, deltas: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best of a level: (1, A, K), (1, A, 4), (A, 4) -> boxes (C, 4), scores (C,) and classes (C,)."""
        # unlike decode_batch, no threshold before topk: NMS has it, and the shapes stay fixed
        num_classes = self._model.num_classes
        count = min(self._postprocess.max_candidates, int(logits.shape[1]) * num_classes)
        best, order = logits.reshape(-1).topk(count)  # (1, A, K) -> (A*K,) -> (C,)
        anchor_index = torch.div(order, num_classes, rounding_mode="floor")
        boxes = decode_boxes(anchors[anchor_index], deltas[0, anchor_index], self._weights)
        return boxes, best.sigmoid(), order - anchor_index * num_classes


def write_onnx(
    path: Path, network: OnnxRetinaNet, input_hw: tuple[int, int], opset: int, metadata: Mapping[str, Any]
) -> None:
    """Trace the network and write it, whole or not at all.

    Args:
        opset: 0 for the tested one.
        metadata: JSON values; strings are written as they are.

    Raises:
        RuntimeError, ValueError: torch's exporter cannot express this network; it has no exception for that.
    """
    import onnx

    traced = io.BytesIO()
    example = (torch.zeros((1, *input_hw, 3), dtype=torch.uint8), torch.tensor(input_hw))
    axes = {name: {0: "n"} for name in OUTPUTS}
    # the older, tracing one of torch's two exporters: all releases have it, and it needs no further package
    options: dict[str, Any] = {"dynamo": False} if "dynamo" in signature(torch.onnx.export).parameters else {}
    # it warns that it is deprecated, and of every Python number that becomes a constant, as a fixed input intends
    with warnings.catch_warnings(), _quiet("torch.onnx"), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, example, cast(Any, traced), input_names=list(INPUTS), output_names=list(OUTPUTS),
            dynamic_axes=axes, opset_version=opset or TESTED_OPSET, **options,
        )  # fmt: skip
    model = onnx.load_from_string(traced.getvalue())
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    onnx.checker.check_model(model)
    with atomic_write(path, "wb") as file:
        file.write(model.SerializeToString())


def describe(
    class_names: Sequence[str], input_hw: tuple[int, int], postprocess: PostprocessConfig, edges: tuple[int, int]
) -> dict[str, Any]:
    """Return metadata that describe how to use the file without this project.

    Args:
        edges: shorter side of an image at inference, 0 for its own size, and the maximum of the longer one.
    """
    size = f"with its shorter side at {edges[0]} pixels, or its longer one at {edges[1]} where that is less"
    return {
        "class_names": json.dumps(list(class_names), ensure_ascii=False),
        "input": f"image: (1, {input_hw[0]}, {input_hw[1]}, 3) uint8, BGR, upright, the image"
        f" {size if edges[0] else 'at its own size'}, or smaller still where it does not fit, in the upper left corner,"
        " the rest of any value; image_hw: (2,) int64, its height and width there",
        "output": "boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of image, x2 and y2 exclusive; scores: (n,) float32,"
        " best first; classes: (n,) int64, positions in class_names",
        "deep_images": f"of more than 8 bits per channel: {STRETCH_RULE}",
        "input_hw": list(input_hw),
        "min_size": edges[0],
        "max_size": edges[1],
        "score_threshold": postprocess.score_threshold,
        "nms_threshold": postprocess.nms_threshold,
        "max_detections": postprocess.max_detections,
    }


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Mute a logger below errors within the block."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
