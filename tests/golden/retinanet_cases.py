"""The input of both sides of a comparison: configurations, weights, images and ground truth.

Weights depend only on the name and shape of a tensor, images only on pixel coordinates, so no file is stored.

Letters: n boxes of one image, G ground-truth boxes of one image.
"""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"

NUM_CLASSES = 3
SCORE_THRESHOLDS = (0.05, 0.2)
FILE_THRESHOLDS = (0.05, 0.5)
"""The higher one leaves out part of the detections; at the lower one the limits on their number decide."""
SIZES = ((61, 83), (90, 70), (48, 120), (64, 64))
"""Height and width of the four drawn images, before resizing."""
GT_BOXES = (
    ((5.0, 8.0, 40.0, 60.0), (30.5, 20.25, 90.0, 55.0)),
    ((10.0, 12.0, 26.0, 30.0),),
    ((2.0, 3.0, 100.0, 44.0), (50.0, 5.0, 70.0, 25.0), (51.0, 6.0, 69.0, 27.0)),
    (),
)
"""x1 y1 x2 y2 in pixels of the resized images; the last image has no object."""
TRAINED = (0, 3)
"""The images of a training step: one with objects, one without."""


@dataclass(frozen=True)
class Case:
    """A configuration as keys over BASE."""

    name: str
    overrides: Mapping[str, Any]


_FIXED_SIZE = {
    "INPUT.MIN_SIZE_TRAIN": [72],
    "INPUT.MAX_SIZE_TRAIN": 110,
    "INPUT.MIN_SIZE_TEST": 72,
    "INPUT.MAX_SIZE_TEST": 110,
    "INPUT.RANDOM_FLIP": "none",
    "DATALOADER.ASPECT_RATIO_GROUPING": False,  # every batch holds both images, in either order
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,
    "SOLVER.IMS_PER_BATCH": len(TRAINED),
    "MODEL.RETINANET.NUM_CLASSES": NUM_CLASSES,
}

# ten steps of SGD, the same for every parameter: what differs between the cases is the network
_PLAIN_SGD = {
    "SOLVER.MAX_ITER": 10,
    "SOLVER.BASE_LR": 0.0001,
    "SOLVER.STEPS": [],
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.WEIGHT_DECAY": 1e-4,
    "SOLVER.WEIGHT_DECAY_NORM": 1e-4,
}
_SMALL = {**_FIXED_SIZE, **_PLAIN_SGD}
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


# Cheap, with trainable normalisation layers of both kinds. Those of the backbone are frozen: batch statistics of so
# narrow a network amplify rounding until the losses of the eighth step differ by 10 %. All five levels are in use:
# detectron2 calls clip_grad_value_ for every parameter, which in newer torch raises for one without a gradient.
_SOLVER_NETWORK = {
    **_FIXED_SIZE,
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.FPN.OUT_CHANNELS": 64,
    "MODEL.FPN.NORM": "BN",
    "MODEL.RETINANET.NORM": "GN",
    "MODEL.RETINANET.NUM_CONVS": 1,
}

SOLVER_CASES = (
    Case(
        "groups_warm_up_and_steps",
        {
            **_SOLVER_NETWORK,
            "SOLVER.MAX_ITER": 8,
            "SOLVER.BASE_LR": 0.01,
            "SOLVER.WEIGHT_DECAY": 0.05,
            "SOLVER.WEIGHT_DECAY_NORM": 0.0,
            "SOLVER.BIAS_LR_FACTOR": 2.0,
            "SOLVER.WEIGHT_DECAY_BIAS": 0.02,
            "SOLVER.WARMUP_ITERS": 3,
            "SOLVER.WARMUP_FACTOR": 0.1,
            "SOLVER.STEPS": [5, 7],
            "SOLVER.GAMMA": 0.2,
        },
    ),
    Case(
        "clipped_by_value",
        {
            **_SOLVER_NETWORK,
            "SOLVER.MAX_ITER": 6,
            "SOLVER.BASE_LR": 0.01,
            "SOLVER.NESTEROV": True,
            "SOLVER.WEIGHT_DECAY_NORM": 0.1,
            "SOLVER.STEPS": [4],
            "SOLVER.WARMUP_ITERS": 0,
            "SOLVER.CLIP_GRADIENTS.ENABLED": True,
            "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "value",
            "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 0.01,
        },
    ),
    Case(
        "clipped_by_norm",
        {
            **_SOLVER_NETWORK,
            "SOLVER.MAX_ITER": 6,
            "SOLVER.BASE_LR": 0.01,
            "SOLVER.MOMENTUM": 0.8,
            "SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR",
            "SOLVER.WARMUP_ITERS": 2,
            "SOLVER.WARMUP_METHOD": "constant",
            "SOLVER.WARMUP_FACTOR": 0.5,
            "SOLVER.CLIP_GRADIENTS.ENABLED": True,
            "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm",
            "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 2.0,
            "SOLVER.CLIP_GRADIENTS.NORM_TYPE": 1.0,
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


def draw_image(height: int, width: int, phase: int = 0) -> np.ndarray:
    """Return (height, width, 3) uint8: slopes, stripes and a box with hard edges."""
    y, x = np.mgrid[:height, :width]
    channels = [(3 * x + 2 * y + 40 * phase) % 256, (x * y // 7 + 11 * phase) % 256, 255 * ((x // 5 + y // 3) % 2)]
    image = np.stack(channels, axis=-1).astype(np.uint8)
    image[height // 4 : height // 2, width // 3 : width // 2] = (20 + 50 * phase, 200, 120)
    return image


def images() -> list[np.ndarray]:
    """The four images of SIZES."""
    return [draw_image(height, width, phase) for phase, (height, width) in enumerate(SIZES)]


def ground_truth(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (G, 4) in pixels of the resized image, and classes (G,)."""
    boxes = torch.tensor(GT_BOXES[index], dtype=torch.float32).reshape(-1, 4)
    return boxes, torch.arange(len(boxes)) % NUM_CLASSES


def crc_of(array: np.ndarray) -> int:
    """Checksum of the bytes: equal means identical."""
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def sample_of(array: np.ndarray, count: int = 24) -> list[float]:
    """Return numbers spread evenly over an array."""
    flat = array.reshape(-1)
    return [round(float(value), 6) for value in flat[:: max(1, len(flat) // count)][:count]]


@dataclass
class Trained:
    """The measurements of a training of SOLVER.MAX_ITER steps."""

    losses: list[dict[str, float]]
    """Of each step."""
    learning_rates: list[float]
    """Of each step, without BIAS_LR_FACTOR."""
    gradient_norms: dict[str, float]
    """L2 norm of the gradient of every parameter in the first step, before clipping."""
    update_norms: dict[str, float]
    """L2 norm of what all steps together have changed in every parameter. The norms of the parameters themselves hardly
    move in ten steps."""
    state_norms: dict[str, float]
    """L2 norm of every tensor of the state after the last step."""
    loss_normalizer: float


@dataclass
class Measured:
    """The measurements of one side for one case."""

    batch: np.ndarray
    anchors: list[np.ndarray]
    logits: list[np.ndarray]
    deltas: list[np.ndarray]
    detections: dict[float, list[dict[str, np.ndarray]]]
    """Of the four images as one padded batch, by score threshold: boxes (n, 4) in pixels of the original image, scores
    (n,) and classes (n,) of each image."""
    detections_alone: dict[float, list[dict[str, np.ndarray]]]
    """Of the four images without the padding of a common batch, by FILE_THRESHOLDS."""
    trained: Trained


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Run torch in one thread: on tensors as small as these, threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gradient_norms(model: torch.nn.Module) -> dict[str, float]:
    """Return the L2 norm of each parameter's gradient; summed in double, which torch 1.10 does not do by itself."""
    return {name: float(p.grad.double().norm()) for name, p in model.named_parameters() if p.grad is not None}


def trainable(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of the parameters that are not frozen."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def update_norms(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return the L2 norm of the change of each parameter."""
    return {name: float((after[name].double() - before[name].double()).norm()) for name in before}


def state_norms(model: torch.nn.Module) -> dict[str, float]:
    """Return the L2 norm of every tensor of the state."""
    return {name: float(tensor.double().norm()) for name, tensor in model.state_dict().items()}


def as_arrays(boxes: Any, scores: Any, classes: Any) -> dict[str, np.ndarray]:
    """Return the detections of one image, tensors or arrays, as arrays."""
    return {"boxes": np.asarray(boxes), "scores": np.asarray(scores), "classes": np.asarray(classes)}


def list_of(tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Return tensors as arrays."""
    return [tensor.detach().numpy() for tensor in tensors]
