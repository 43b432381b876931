"""Anchor boxes of every cell of every pyramid level, in pixels of the resized image; equal to detectron2's.

Letters: A anchors per cell, H and W cells of a level. Order within a level: row, column, then anchor.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError

CACHED_GRIDS = 64
"""Grids in the cache: twelve image sizes of five levels. At 800x1333 the finest takes 2.4 MB."""


class AnchorGenerator(nn.Module):
    """Generates the anchors of a list of grids, and caches them."""

    def __init__(
        self,
        sizes: Sequence[Any],
        aspect_ratios: Sequence[Any],
        strides: Sequence[int],
        offset: float,
    ) -> None:
        """Take one entry per level, or a single one for all.

        Args:
            sizes: square roots of anchor areas, pixels.
            aspect_ratios: height / width.
            strides: pixels from cell to cell.
            offset: centre of the first anchor, as a fraction of the stride.

        Raises:
            ConfigError: not one entry per level, or levels with different numbers of anchors.
        """
        super().__init__()
        self.strides = tuple(strides)
        self.offset = offset
        level_sizes = _per_level("SIZES", sizes, len(strides))
        level_ratios = _per_level("ASPECT_RATIOS", aspect_ratios, len(strides))
        # no buffers: a model cast to bf16 would round them, and pixels need float32
        self._cells = [cell_anchors(*pair) for pair in zip(level_sizes, level_ratios)]
        # the head is shared by all levels, and predicts one number of anchors
        if len({len(cell) for cell in self._cells}) != 1:
            raise ConfigError("MODEL.ANCHOR_GENERATOR: every level must have the same number of anchors per cell")
        self.num_anchors = len(self._cells[0])
        self._cache: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], strides: Sequence[int]) -> AnchorGenerator:
        """Read MODEL.ANCHOR_GENERATOR."""
        return cls(
            cfg["MODEL.ANCHOR_GENERATOR.SIZES"],
            cfg["MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"],
            strides,
            cfg["MODEL.ANCHOR_GENERATOR.OFFSET"],
        )

    def forward(self, grids: Sequence[tuple[int, int]], device: torch.device) -> list[Tensor]:
        """Return (H*W*A, 4) float32 x1 y1 x2 y2 for each level's grid (H, W); do not change them in place."""
        return [self._level_anchors(level, grid, device) for level, grid in enumerate(grids)]

    def _level_anchors(self, level: int, grid: tuple[int, int], device: torch.device) -> Tensor:
        key = (level, grid[0], grid[1], device)
        anchors = self._cache.pop(key, None)
        if anchors is None:
            anchors = grid_anchors(self._cells[level].to(device), grid, self.strides[level], self.offset)
        self._cache[key] = anchors  # at the end: least recently used (LRU) first
        if len(self._cache) > CACHED_GRIDS:
            self._cache.popitem(last=False)
        return anchors


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Return (len(sizes) * len(aspect_ratios), 4): all boxes centred on (0, 0), ratios fastest."""
    boxes = []
    for size in sizes:
        for ratio in aspect_ratios:
            width = math.sqrt(size**2.0 / ratio)  # area size^2, height = ratio * width
            height = ratio * width
            boxes.append([-width / 2.0, -height / 2.0, width / 2.0, height / 2.0])
    return torch.tensor(boxes, dtype=torch.float32)


def grid_anchors(cell: Tensor, grid: tuple[int, int], stride: int, offset: float) -> Tensor:
    """Repeat the (A, 4) anchors of a cell over a grid (H, W); return (H*W*A, 4)."""
    height, width = grid
    xs = torch.arange(offset * stride, width * stride, step=stride, dtype=torch.float32, device=cell.device)
    ys = torch.arange(offset * stride, height * stride, step=stride, dtype=torch.float32, device=cell.device)
    shift_x = xs.repeat(height)  # (H*W,)
    shift_y = ys.repeat_interleave(width)
    shifts = torch.stack((shift_x, shift_y, shift_x, shift_y), dim=1)
    return (shifts[:, None, :] + cell[None, :, :]).reshape(-1, 4)  # (H*W, 1, 4) + (1, A, 4) -> (H*W*A, 4)


def _per_level(name: str, values: Sequence[Any], num_levels: int) -> list[Sequence[float]]:
    """One list per level: a flat list, or a single one, holds for all."""
    if values and not isinstance(values[0], (list, tuple)):
        values = [values]
    if len(values) == 1:
        values = list(values) * num_levels
    if len(values) != num_levels or not all(values):
        raise ConfigError(
            f"MODEL.ANCHOR_GENERATOR.{name} has {len(values)} lists, "
            f"expected one, or one for each of {num_levels} levels"
        )
    return list(values)
