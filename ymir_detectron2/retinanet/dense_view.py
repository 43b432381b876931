"""The dense outputs for one picture of a batch, without padding, for whoever wants more than boxes.

Letters: K classes, A anchors per cell, C channels, h and w cells of a level that the picture covers.
"""

from __future__ import annotations

from typing import Sequence

from torch import Tensor


class PictureView:
    """What the network says about every place of one picture; nothing is computed unless it is asked for."""

    def __init__(
        self, levels: Sequence[Tensor], logits: Sequence[Tensor], strides: Sequence[int], index: int,
        image_hw: tuple[int, int],
    ) -> None:  # fmt: skip
        """
        Args:
            levels: pyramid features, finest first, (N, C, H, W) each.
            logits: (N, H*W*A, K) each.
            strides: pixels per cell of each level.
            index: which picture of the N.
            image_hw: its height and width in pixels, without the padding of the batch.
        """
        self._levels, self._logits, self._strides = levels, logits, strides
        self._index = index
        self._image_hw = image_hw

    @property
    def class_maps(self) -> list[Tensor]:
        """Per level (K, h, w) float32 in [0, 1]: the largest probability over the anchors of a cell."""
        maps = []
        for level, logits, (h, w) in zip(self._levels, self._logits, self._covered()):
            K = logits.shape[-1]
            H, W = level.shape[-2:]
            best = logits[self._index].view(H, W, -1, K).amax(dim=2)  # (H*W*A, K) -> (H, W, K)
            maps.append(best[:h, :w].permute(2, 0, 1).float().sigmoid())
        return maps

    @property
    def features(self) -> list[Tensor]:
        """Per level (C, h, w): what the heads look at."""
        return [level[self._index, :, :h, :w] for level, (h, w) in zip(self._levels, self._covered())]

    def _covered(self) -> list[tuple[int, int]]:
        height, width = self._image_hw
        return [(-(-height // stride), -(-width // stride)) for stride in self._strides]
