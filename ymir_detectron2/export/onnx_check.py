"""Compare an ONNX file with its PyTorch model: onnxruntime must detect the same boxes in a user's images.

Letters: H and W of the input, n boxes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable, NamedTuple

import numpy as np
import torch

from ..dataset.image_reading import read_image_bgr
from ..detections import Detections
from ..errors import ImageError
from ..retinanet.decoding import PostprocessConfig, decode_batch
from ..retinanet.model import RetinaNet
from ..retinanet.resize import resize_image, resized_hw

# two runtimes sum convolutions in different orders: logits differ by some 1e-5, which offsets multiply by box sizes
BOX_TOLERANCE_PX, SCORE_TOLERANCE = 0.5, 1e-3


class Agreement(NamedTuple):
    """Result of a comparison over some images."""

    images: int
    boxes: int
    """Detected by onnxruntime."""
    unmatched: int
    """Boxes of either side without a counterpart on the other."""


def compare(
    file: Path, model: RetinaNet, postprocess: PostprocessConfig, input_hw: tuple[int, int], images: Iterable[Path]
) -> Agreement:
    """Detect objects with both in some images; one that cannot be read is left out.

    Args:
        model: on the CPU, in float32.
    """
    session = open_session(file)
    compared = boxes = unmatched = 0
    for path in images:
        try:
            image_bgr = read_image_bgr(path)
        except ImageError:
            continue
        canvas, image_hw = to_input(image_bgr, input_hw, *edges_of(model))
        expected = _detect_with_torch(model, postprocess, canvas, image_hw)
        outputs = session.run(None, {"image": canvas[None], "image_hw": np.array(image_hw, dtype=np.int64)})
        detections = Detections(*outputs)
        compared, boxes = compared + 1, boxes + len(detections)
        unmatched += count_unmatched(detections, expected, postprocess)
    return Agreement(compared, boxes, unmatched)


def open_session(file: Path) -> Any:
    """Return an onnxruntime session on the CPU."""
    import onnxruntime  # here: only an export needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # its own default is all cores of the machine
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def edges_of(model: RetinaNet) -> tuple[int, int]:
    """Return the shorter side of an image at inference, 0 for its own size, and the maximum of the longer one."""
    return model.cfg["INPUT.MIN_SIZE_TEST"], model.cfg["INPUT.MAX_SIZE_TEST"]


def to_input(
    image_bgr: np.ndarray, input_hw: tuple[int, int], short_edge: int, max_edge: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Resize an image as for inference, or smaller to fit, into an (H, W, 3) uint8 array; return it and its size."""
    height, width = resized_hw(image_bgr.shape[0], image_bgr.shape[1], short_edge, max_edge)
    scale = min(1.0, input_hw[0] / height, input_hw[1] / width)
    height, width = max(1, int(height * scale)), max(1, int(width * scale))
    canvas = np.zeros((*input_hw, 3), dtype=np.uint8)
    canvas[:height, :width] = resize_image(image_bgr, (height, width))
    return canvas, (height, width)


def count_unmatched(detections: Detections, expected: Detections, postprocess: PostprocessConfig) -> int:
    """Count the boxes of either side that the other lacks, except where rounding may decide about a limit.

    Args:
        detections: of onnxruntime.
        expected: of torch. Includes the boxes that were clipped to nothing, which the graph leaves out, as an inference
            does later.
        postprocess: thresholds of both.
    """
    free = np.ones(len(detections), dtype=bool)
    unmatched = []
    for box, score, class_id in zip(expected.boxes_xyxy, expected.scores, expected.classes):
        near = free & (detections.classes == class_id) & (np.abs(detections.scores - score) <= SCORE_TOLERANCE)
        near &= (np.abs(detections.boxes_xyxy - box) <= BOX_TOLERANCE_PX).all(axis=1)
        if near.any():
            free[near.argmax()] = False  # each counts once
        elif (box[2:] > box[:2]).all():
            unmatched.append(float(score))
    scores = np.array(unmatched + detections.scores[free].tolist())
    # a score at the threshold, or that of the last box of a full list, may be kept by one and not by the other
    is_full = len(expected) >= postprocess.max_detections
    uncertain = float(expected.scores.min()) if is_full else postprocess.score_threshold
    return int((scores > uncertain + SCORE_TOLERANCE).sum())


def _detect_with_torch(
    model: RetinaNet, postprocess: PostprocessConfig, canvas: np.ndarray, image_hw: tuple[int, int]
) -> Detections:
    """As the torch engine does, on a batch as large as the input of the graph."""
    height, width = image_hw
    image = torch.from_numpy(canvas[:height, :width].transpose(2, 0, 1).copy())  # (3, h, w)
    if model.cfg["INPUT.FORMAT"] == "RGB":
        image = image.flip(0)
    whole = torch.zeros((3, *canvas.shape[:2]), dtype=torch.uint8)
    with torch.no_grad():
        batch = model.preprocess([image, whole])[0][:1]  # the second image only pads the first to the size of the input
        dense = model(batch)
        decoded = decode_batch(dense, [image_hw], postprocess, model.cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"])[0]
    return Detections(*(field.numpy() for field in decoded[:3]))
