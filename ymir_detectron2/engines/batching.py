"""Pictures of any sizes as batches of one padded size, so that no picture feels its neighbours."""

from __future__ import annotations

from collections import defaultdict
from typing import Callable, Hashable, Sequence

import numpy as np
import torch

from .base import Detections

_BATCH_ON_GPU = 16
_BATCH_ON_CPU = 4


def batch_size_for(wanted: int, device: torch.device) -> int:
    """Pictures per forward pass; 0 lets the device decide."""
    return wanted or (_BATCH_ON_GPU if device.type == "cuda" else _BATCH_ON_CPU)


def detect_by_shape(
    images_bgr: Sequence[np.ndarray],
    batch_size: int,
    shape_of: Callable[[np.ndarray], Hashable],
    detect_batch: Callable[[list[np.ndarray]], list[Detections]],
) -> list[Detections]:
    """Detect in batches of pictures for which `shape_of` is the same; results come in the order of the pictures."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, image in enumerate(images_bgr):
        groups[shape_of(image)].append(index)
    found: dict[int, Detections] = {}
    for indexes in groups.values():
        for start in range(0, len(indexes), batch_size):
            part = indexes[start : start + batch_size]
            found.update(zip(part, detect_batch([images_bgr[index] for index in part])))
    return [found[index] for index in range(len(images_bgr))]
