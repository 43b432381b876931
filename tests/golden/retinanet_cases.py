"""What both sides of a comparison are given: configurations, weights, pictures and truth, all functions of nothing.

Weights depend only on the name and shape of a tensor, pictures only on pixel coordinates, so no file is stored.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"

NUM_CLASSES = 3
SCORE_THRESHOLDS = (0.05, 0.2)
SIZES = ((61, 83), (90, 70), (48, 120), (64, 64))
"""Height and width of the four drawn pictures, before resizing."""
TRUTH = (
    ((5.0, 8.0, 40.0, 60.0), (30.5, 20.25, 90.0, 55.0)),
    ((10.0, 12.0, 26.0, 30.0),),
    ((2.0, 3.0, 100.0, 44.0), (50.0, 5.0, 70.0, 25.0), (51.0, 6.0, 69.0, 27.0)),
    (),
)
"""x1 y1 x2 y2 in pixels of the resized pictures; the last picture has no object."""
TRAINED = (0, 3)
"""The pictures of a training step: one with objects, one without."""
NUM_STEPS = 10
LEARNING_RATE = 0.0001
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4


@dataclass(frozen=True)
class Case:
    """A configuration as keys over BASE."""

    name: str
    overrides: Mapping[str, Any]


_SMALL = {"INPUT.MIN_SIZE_TEST": 72, "INPUT.MAX_SIZE_TEST": 110, "MODEL.RETINANET.NUM_CLASSES": NUM_CLASSES}
_SHALLOW = {**_SMALL, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64, "MODEL.FPN.OUT_CHANNELS": 64}

# p7 would be one cell: the variance of the two numbers in a group turns rounding into noise
_THREE_LEVELS = {
    "MODEL.RETINANET.IN_FEATURES": ["p3", "p4", "p5"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[20], [40], [80]],
}
_NORMED = {**_SHALLOW, **_THREE_LEVELS}


def _all_norms(name: str) -> dict[str, str]:
    return {"MODEL.RESNETS.NORM": name, "MODEL.FPN.NORM": name, "MODEL.RETINANET.NORM": name}


CASES = (
    Case("r50_default", _SMALL),
    Case(
        "r18_batch_norm_giou",
        {
            **_NORMED,
            **_all_norms("BN"),
            "MODEL.RESNETS.DEPTH": 18,
            "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "giou",
            "INPUT.FORMAT": "RGB",
        },
    ),
    Case(
        "r18_group_norm_ciou",
        {
            **_NORMED,
            **_all_norms("GN"),
            "MODEL.RESNETS.DEPTH": 18,
            "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "ciou",
            "MODEL.BACKBONE.FREEZE_AT": 0,
            "MODEL.FPN.FUSE_TYPE": "avg",
            "MODEL.PIXEL_STD": [57.375, 57.12, 58.395],
        },
    ),
    Case(
        "resnext50_dilated_diou",
        {
            **_SMALL,
            "MODEL.RESNETS.NUM_GROUPS": 4,
            "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
            "MODEL.RESNETS.STEM_OUT_CHANNELS": 32,
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
            "MODEL.RESNETS.RES5_DILATION": 2,
            "MODEL.FPN.OUT_CHANNELS": 32,
            "MODEL.FPN.IN_FEATURES": ["res3", "res4"],
            "MODEL.RETINANET.IN_FEATURES": ["p3", "p4", "p5", "p6"],
            "MODEL.RETINANET.NUM_CONVS": 2,
            "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "diou",
            "MODEL.RETINANET.BBOX_REG_WEIGHTS": [2.0, 2.0, 1.5, 1.5],
            "MODEL.ANCHOR_GENERATOR.SIZES": [[16, 24], [32, 48], [64, 96], [128, 192]],
            "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.4, 1.0, 2.5]],
            "MODEL.ANCHOR_GENERATOR.OFFSET": 0.5,
            "MODEL.BACKBONE.FREEZE_AT": 3,
        },
    ),
    Case(
        "r34_smooth_l1",
        {
            **_SHALLOW,
            "MODEL.RESNETS.DEPTH": 34,
            "MODEL.RESNETS.NORM": "BN",
            "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
            "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
            "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.1,
            "MODEL.RETINANET.FOCAL_LOSS_GAMMA": 1.5,
            "MODEL.RETINANET.TOPK_CANDIDATES_TEST": 50,
            "MODEL.RETINANET.NMS_THRESH_TEST": 0.4,
            "MODEL.RETINANET.IOU_THRESHOLDS": [0.3, 0.6],
            "TEST.DETECTIONS_PER_IMAGE": 20,
        },
    ),
)


def fill_weights(model: torch.nn.Module) -> None:
    """Overwrite every parameter and buffer of the state dict by weight_of its name."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(weight_of(name, tuple(tensor.shape))))


def weight_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 numbers that keep the signal at a useful size from layer to layer."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) == 4:
        gain = {"cls_score": 0.2, "bbox_pred": 0.02}.get(name.split(".")[-2], 2.0)
        values = noise * np.sqrt(gain / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        values = (1e4 if ".stem." in name else 1.0) * (1 + 0.1 * np.abs(noise))  # pixels reach +-120
    elif name.endswith("running_mean"):
        values = 0.1 * noise
    elif name.endswith("weight"):
        ends_block = "conv3.norm" in name or "conv2.norm" in name  # of a bottleneck and of a basic block
        values = (0.3 if ends_block else 1.0) + 0.1 * noise
    else:
        values = 0.1 * noise - (3.0 if name == "head.cls_score.bias" else 0.0)
    return values.astype(np.float32)


def draw_picture(height: int, width: int, phase: int = 0) -> np.ndarray:
    """Return (height, width, 3) uint8: slopes, stripes and a box with hard edges."""
    y, x = np.mgrid[:height, :width]
    channels = [(3 * x + 2 * y + 40 * phase) % 256, (x * y // 7 + 11 * phase) % 256, 255 * ((x // 5 + y // 3) % 2)]
    picture = np.stack(channels, axis=-1).astype(np.uint8)
    picture[height // 4 : height // 2, width // 3 : width // 2] = (20 + 50 * phase, 200, 120)
    return picture


def pictures() -> list[np.ndarray]:
    """The four pictures of SIZES."""
    return [draw_picture(height, width, phase) for phase, (height, width) in enumerate(SIZES)]


def truth(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (G, 4) and classes (G,) of one picture."""
    boxes = torch.tensor(TRUTH[index], dtype=torch.float32).reshape(-1, 4)
    return boxes, torch.arange(len(boxes)) % NUM_CLASSES


def crc_of(array: np.ndarray) -> int:
    """Checksum of the bytes: equal means identical."""
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def sample_of(array: np.ndarray, count: int = 24) -> list[float]:
    """Return numbers spread evenly over an array."""
    flat = array.reshape(-1)
    return [round(float(value), 6) for value in flat[:: max(1, len(flat) // count)][:count]]


def train_steps(model: torch.nn.Module, losses_of_step: Any) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Take NUM_STEPS of SGD; return the losses of each and the gradient norms of the first."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    curve: list[dict[str, float]] = []
    norms: dict[str, float] = {}
    for _ in range(NUM_STEPS):
        losses = losses_of_step()
        optimizer.zero_grad()
        sum(losses.values()).backward()
        norms = norms or gradient_norms(model)
        optimizer.step()
        curve.append({name: float(loss.detach()) for name, loss in losses.items()})
    return curve, norms


def gradient_norms(model: torch.nn.Module) -> dict[str, float]:
    """Return the L2 norm of each parameter's gradient; summed in double, which torch 1.10 does not do by itself."""
    return {name: float(p.grad.double().norm()) for name, p in model.named_parameters() if p.grad is not None}


@dataclass
class Measured:
    """Everything that one side says about a case."""

    batch: np.ndarray
    anchors: list[np.ndarray]
    logits: list[np.ndarray]
    deltas: list[np.ndarray]
    detections: dict[float, list[dict[str, np.ndarray]]]
    """By score threshold: boxes (n, 4) in pixels of the original picture, scores (n,), classes (n,) per picture."""
    detections_alone: list[dict[str, np.ndarray]]
    """The first picture in a batch of one, lowest threshold."""
    losses: list[dict[str, float]]
    gradient_norms: dict[str, float]
    state_norms: dict[str, float]
    """L2 norm of every tensor of the state after the last step."""
    loss_normalizer: float


def state_norms(model: torch.nn.Module) -> dict[str, float]:
    """Return the L2 norm of every tensor of the state."""
    return {name: float(tensor.double().norm()) for name, tensor in model.state_dict().items()}


def as_arrays(boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor) -> dict[str, np.ndarray]:
    """Detections of one picture as numpy."""
    return {"boxes": boxes.numpy(), "scores": scores.numpy(), "classes": classes.numpy()}


def list_of(tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Tensors as numpy."""
    return [tensor.detach().numpy() for tensor in tensors]
