"""PIL's bilinear resize of 8-bit images in torch, so that the network's input is the same on GPU and CPU.

Source of the arithmetic: Pillow's `ImagingResample` for 8 bits per channel: along each axis a triangle as wide as the
image shrinks, its weights rounded to 22 binary places, and the result rounded to 8 bits between the two axes.
Pillow before 13 resamples the rows first, always, and this is equal to it bit for bit. From 13 on Pillow takes the
columns first for some sizes that shrink: then a pixel here and there is one grey level off.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

_PLACES = 32 - 8 - 2
"""Binary places of a weight: the sum of products with 8-bit pixels fits into 32 bits."""


def resize_tensor(image: Tensor, hw: tuple[int, int]) -> Tensor:
    """Resize (H, W, C) uint8 to (hw[0], hw[1], C) uint8 on the device of `image`, as `resize.resize_image` does."""
    for axis in (1, 0):  # Pillow's order: along the rows first, rounded to 8 bits in between
        if image.shape[axis] != hw[axis]:
            image = _resample(image, axis, hw[axis])
    return image


def _resample(image: Tensor, axis: int, length: int) -> Tensor:
    first, weights = (table.to(image.device) for table in _weights(int(image.shape[axis]), length))
    shape = [1, 1, 1]
    shape[axis] = length
    total: Tensor | None = None
    for tap in range(weights.shape[1]):
        place = (first + tap).clamp(max=image.shape[axis] - 1)  # past the end the weight is 0
        product = image.index_select(axis, place).to(torch.int32) * weights[:, tap].view(shape)
        total = product + (1 << (_PLACES - 1)) if total is None else total.add_(product)  # + 1/2: >> rounds down
    assert total is not None
    return (total >> _PLACES).clamp_(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=256)
def _weights(size: int, length: int) -> tuple[Tensor, Tensor]:
    """For each of `length` pixels: (length,) the first of its `size` source pixels; (length, taps) the weights."""
    scale = size / length
    reach = max(scale, 1.0)  # half the width of the triangle: enlarging interpolates, shrinking averages
    centre = (torch.arange(length, dtype=torch.float64) + 0.5) * scale
    first = (centre - reach + 0.5).to(torch.int64).clamp(min=0)
    end = (centre + reach + 0.5).to(torch.int64).clamp(max=size)  # exclusive
    taps = math.ceil(reach) * 2 + 1
    place = first[:, None] + torch.arange(taps)  # (length, taps)
    weights = (1.0 - ((place - centre[:, None] + 0.5) * (1.0 / reach)).abs()).clamp(min=0.0)
    weights[place >= end[:, None]] = 0.0
    weights /= weights.cumsum(dim=1)[:, -1:]  # added up one by one, as PIL does: the last bit of a double can count
    used = max(1, int((end - first).max()))
    return first, (weights * (1 << _PLACES) + 0.5).floor().to(torch.int32)[:, :used].contiguous()
