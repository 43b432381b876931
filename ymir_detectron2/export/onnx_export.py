"""One set of weights as an ONNX model that was compared with torch on some images."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence

import numpy as np

from ..tile_windows import Tiling

if TYPE_CHECKING:  # torch, which whoever asks for an export imports only after it has checked its files
    from ..retinanet.model import RetinaNet

logger = logging.getLogger(__name__)

_COMPARED_IMAGES = 4
_DIVISOR = 32  # the pyramid divides such sides: of the default size the graph need not pad anything


class OnnxRequest(NamedTuple):
    """What is to be exported, and how."""

    weights: Path
    config: Path
    class_names: Sequence[str]
    """(): those in the weights."""
    stage_name: str
    input_hw: tuple[int, ...]
    """(): the shorter and the longer side of inference."""
    opset: int
    """0: the one that is tested."""
    images: Sequence[Path]
    """Some of them, evenly chosen, are compared; (): nothing is compared, on purpose."""


def export_onnx(request: OnnxRequest, target: Path) -> str:
    """Write the model, and compare it with torch; return '' or what is wrong.

    Raises:
        ConfigError: a network of detectron2 that is not built here.
        ModelError: the weights are damaged, or do not know their classes.
        Exception: torch's exporter raises whatever it likes.
    """
    from ..retinanet.decoding import PostprocessConfig
    from .onnx_check import compare, edges_of
    from .onnx_model import OnnxRetinaNet, describe, write_onnx

    model, class_names, trained = _load(request)
    tiling = Tiling.of_checkpoint(trained)
    postprocess = PostprocessConfig.from_config(model.cfg)
    input_hw = _input_hw(request, model)
    metadata = {
        **describe(class_names, input_hw, postprocess, edges_of(model)), "stage": request.stage_name,
        "thresholds": trained.get("thresholds"), **tiling.as_metadata(),
    }  # fmt: skip
    write_onnx(target, OnnxRetinaNet(model, input_hw, postprocess), input_hw, request.opset, metadata)
    if tiling.size:
        logger.warning(
            "export: the model was trained on tiles of %d px, and an ONNX model cannot cut images into tiles: whoever"
            " runs it has to (tile_size and tile_overlap are in its metadata)", tiling.size,
        )  # fmt: skip
    if not request.images:
        return ""
    numbers = np.linspace(0, len(request.images) - 1, min(_COMPARED_IMAGES, len(request.images))).round().astype(int)
    agreement = compare(target, model, postprocess, input_hw, [request.images[number] for number in numbers.tolist()])
    if not agreement.images:
        return "no image can be read, so that nothing could be compared"
    if agreement.unmatched:
        return (
            f"of {agreement.boxes} boxes in {agreement.images} images, {agreement.unmatched} differ between torch and"
            " onnxruntime"
        )
    logger.info(
        "export: %s, input %d x %d: onnxruntime finds the same %d boxes as torch in %d images",
        target.name, *input_hw, agreement.boxes, agreement.images,
    )  # fmt: skip
    return ""


def _load(request: OnnxRequest) -> tuple[RetinaNet, Sequence[str], Mapping[str, Any]]:
    """Build the torch engine's network on the CPU, which reads the checkpoints of both engines.

    Returns:
        The network, its class names, and what else the training has stored in the checkpoint.
    """
    from ..config.retinanet_config import load_config
    from ..errors import ModelError
    from ..retinanet.checkpoint import load_weights, read_checkpoint
    from ..retinanet.model import build_retinanet

    checkpoint = read_checkpoint(request.weights)
    class_names = request.class_names or [str(name) for name in checkpoint.metadata.get("class_names") or ()]
    if not class_names:
        raise ModelError(f"{request.weights}: does not know its classes; give their names in the order of its training")
    model = build_retinanet(load_config(request.config), len(class_names))
    load_weights(model, checkpoint.state_dict, str(request.weights))
    return model.eval(), class_names, checkpoint.metadata


def _input_hw(request: OnnxRequest, model: RetinaNet) -> tuple[int, int]:
    """Return the requested height and width, else the sides of inference, rounded up to _DIVISOR."""
    if request.input_hw:
        height, width = request.input_hw
        return height, width
    longer = model.cfg["INPUT.MAX_SIZE_TEST"]
    shorter = min(model.cfg["INPUT.MIN_SIZE_TEST"] or longer, longer)  # 0: images keep their size
    return -(-shorter // _DIVISOR) * _DIVISOR, -(-longer // _DIVISOR) * _DIVISOR
