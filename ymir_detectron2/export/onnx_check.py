"""Does an ONNX file find the same boxes as torch? Looked at by onnxruntime, on pictures of the user's.

Letters: H and W of the input, n boxes found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable, NamedTuple

import numpy as np
import torch

from ..dataset.image_reading import read_image_bgr
from ..errors import ImageError
from ..retinanet.decoding import DecodingRules
from ..retinanet.model import RetinaNet
from ..retinanet.resize import resize_image, resized_hw

BOX_TOLERANCE_PX, SCORE_TOLERANCE = 0.5, 1e-3


class Found(NamedTuple):
    """Boxes of one picture."""

    boxes_xyxy: np.ndarray
    """(n, 4) in pixels of the input."""
    scores: np.ndarray
    """(n,)"""
    classes: np.ndarray
    """(n,)"""


class Agreement(NamedTuple):
    """What the comparison of some pictures gave."""

    pictures: int
    boxes: int
    """That onnxruntime found in them."""
    unmatched: int
    """Of both sides, without a counterpart on the other."""


def compare(
    file: Path, model: RetinaNet, rules: DecodingRules, input_hw: tuple[int, int], pictures: Iterable[Path]
) -> Agreement:
    """Look at pictures with both; one that cannot be read is left out.

    Args:
        model: on the CPU, in float32.
    """
    session = _session(file)
    compared = boxes = unmatched = 0
    for path in pictures:
        try:
            image_bgr = read_image_bgr(path)
        except ImageError:
            continue
        canvas, image_hw = to_input(image_bgr, input_hw, *edges_of(model))
        wanted = _torch_finds(model, rules, canvas, image_hw)
        found = Found(*session.run(None, {"image": canvas[None], "image_hw": np.array(image_hw, dtype=np.int64)}))
        compared, boxes = compared + 1, boxes + len(found.scores)
        unmatched += count_unmatched(found, wanted, rules)
    return Agreement(compared, boxes, unmatched)


def edges_of(model: RetinaNet) -> tuple[int, int]:
    """Shorter side of a picture at inference, 0 for its own, and the most that the longer one may have."""
    return model.cfg["INPUT.MIN_SIZE_TEST"], model.cfg["INPUT.MAX_SIZE_TEST"]


def to_input(
    image_bgr: np.ndarray, input_hw: tuple[int, int], short_edge: int, max_edge: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Bring a picture to the size of inference, or less where it would not fit: (H, W, 3) uint8 and its own size."""
    height, width = resized_hw(image_bgr.shape[0], image_bgr.shape[1], short_edge, max_edge)
    scale = min(1.0, input_hw[0] / height, input_hw[1] / width)
    height, width = max(1, int(height * scale)), max(1, int(width * scale))
    canvas = np.zeros((*input_hw, 3), dtype=np.uint8)
    canvas[:height, :width] = resize_image(image_bgr, (height, width))
    return canvas, (height, width)


def count_unmatched(found: Found, wanted: Found, rules: DecodingRules) -> int:
    """Boxes of one side that the other lacks, but for those that rounding may put on either side of a limit.

    Args:
        wanted: also the boxes that were clipped to nothing, which the graph leaves out, as an inference does later.
    """
    free = np.ones(len(found.scores), dtype=bool)
    lacking = []
    for box, score, class_id in zip(*wanted):
        near = free & (found.classes == class_id) & (np.abs(found.scores - score) <= SCORE_TOLERANCE)
        near &= (np.abs(found.boxes_xyxy - box) <= BOX_TOLERANCE_PX).all(axis=1)
        if near.any():
            free[near.argmax()] = False
        elif (box[2:] > box[:2]).all():
            lacking.append(float(score))
    left = np.array(lacking + found.scores[free].tolist())
    return int((left > _uncertain_score(wanted, rules) + SCORE_TOLERANCE).sum())


def _uncertain_score(wanted: Found, rules: DecodingRules) -> float:
    """A box with this score may be kept by one and not by the other."""
    full = len(wanted.scores) >= rules.max_detections
    return float(wanted.scores.min()) if full else rules.score_threshold


def _torch_finds(
    model: RetinaNet, rules: DecodingRules, canvas: np.ndarray, image_hw: tuple[int, int]
) -> Found:
    """As the torch engine does, on a batch as large as the input of the graph."""
    height, width = image_hw
    picture = torch.from_numpy(canvas[:height, :width].transpose(2, 0, 1).copy())
    if model.cfg["INPUT.FORMAT"] == "RGB":
        picture = picture.flip(0)
    whole = torch.zeros((3, *canvas.shape[:2]), dtype=torch.uint8)
    with torch.no_grad():
        batch = model.preprocess([picture, whole])[0][:1]  # the second one only brings the first to its size
        dense = model(batch)
        decoded = model.decode(
            dense, [image_hw], rules.score_threshold, rules.nms_threshold, rules.max_detections
        )[0]
    return Found(*(part.numpy() for part in decoded[:3]))


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
