"""The image operations of `image_ops.ImageOps` for torch tensors, on the detector's device.

Letters: H and W height and width of the image in pixels. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..retinanet.resample import resize_tensor
from .image_ops import Hole


def flip_horizontal(image: torch.Tensor) -> torch.Tensor:
    return image.flip(1)


def cut_holes(image: torch.Tensor, holes: Sequence[Hole]) -> torch.Tensor:
    augmented = image.clone() if holes else image
    for x1, y1, x2, y2 in holes:
        augmented[y1:y2, x1:x2] = 0
    return augmented


def resize(image: torch.Tensor, hw: tuple[int, int]) -> torch.Tensor:
    return resize_tensor(image, hw)


def warp_affine(image: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    grid = _source_grid(int(image.shape[0]), int(image.shape[1]), matrix, image.device)
    pixels = image.permute(2, 0, 1)[None].float()  # (H, W, 3) -> (1, 3, H, W)
    warped = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return warped[0].permute(1, 2, 0).round().to(torch.uint8).contiguous()  # (1, 3, H, W) -> (H, W, 3)


def pad_to(image: torch.Tensor, hw: tuple[int, int]) -> torch.Tensor:
    canvas = image.new_zeros((*hw, image.shape[2]))
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def _source_grid(height: int, width: int, matrix: np.ndarray, device: torch.device) -> torch.Tensor:
    """(1, H, W, 2) float32 for `grid_sample`: where every new pixel comes from, -1 to 1 from edge to edge.

    The map is affine, so a place is the sum of a part of its column and a part of its row. These are made in float64:
    what float32 leaves is 1/10000 pixel for images of a thousand.
    """
    inverse = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]
    of_columns = inverse[:, 0] * np.arange(width)[:, None]  # (W, 2), in pixels, 0 at the centre of the first
    of_rows = inverse[:, 1] * np.arange(height)[:, None] + inverse[:, 2]  # (H, 2)
    unit = np.array([2.0 / width, 2.0 / height])
    # one copy to the device for both: H + W places instead of H * W
    places = np.concatenate([of_columns * unit, (of_rows + 0.5) * unit - 1.0]).astype(np.float32)
    columns, rows = torch.from_numpy(places).to(device, non_blocking=True).split([width, height])
    return (columns[None, :] + rows[:, None])[None]  # (1, W, 2) + (H, 1, 2) -> (1, H, W, 2)
