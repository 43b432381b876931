"""Which windows of an image are its tiles: the same ones in training, evaluation, mining and inference."""

from __future__ import annotations

from typing import Mapping, NamedTuple

LEAST_SIDE = 32
"""Pixels that the side of a tile must have."""


class Window(NamedTuple):
    """A rectangle of the image, in its pixels."""

    x: int
    y: int
    width: int
    height: int


class Tiling(NamedTuple):
    """How images are cut into tiles."""

    size: int = 0
    """Side of a tile in pixels of the image; 0: no tiles."""
    overlap: int = 0
    """Pixels that neighbours share, at least; below `size`."""

    @classmethod
    def of_size(cls, size: int, overlap: int = 0) -> Tiling:
        """Return tiles of this side, whose neighbours share a fifth of it unless `overlap` says otherwise."""
        # a fifth: an object of up to that size is whole in at least one tile
        return cls(size, overlap or size // 5)

    @classmethod
    def of_checkpoint(cls, metadata: Mapping[str, object]) -> Tiling:
        """Return how the images of a model's training were cut; no tiles where its file does not say.

        Args:
            metadata: of a checkpoint that anybody may have written.
        """
        size, overlap = metadata.get("tile_size"), metadata.get("tile_overlap")
        # a program that means something else by these names says nothing about tiles
        if type(size) is not int or type(overlap) is not int or size < LEAST_SIDE or not 0 <= overlap <= size // 2:
            return cls()
        return cls(size, overlap)

    @classmethod
    def of_keys(cls, tile_size: int | str, tile_overlap: int, trained: Tiling) -> Tiling:
        """Return what the keys of a task ask for.

        Args:
            tile_size: 0: as `trained`; "none": no tiles.
            trained: of the model.
        """
        if tile_size == 0:
            return trained
        return cls.of_size(tile_size, tile_overlap) if isinstance(tile_size, int) else cls()

    def as_metadata(self) -> dict[str, int]:
        """Return the entries of a checkpoint from which `of_checkpoint` makes the same tiles."""
        return {"tile_size": self.size, "tile_overlap": self.overlap}

    def windows(self, image_hw: tuple[int, int]) -> list[Window]:
        """Return the whole image first, for objects larger than a tile; then the tiles, if it is larger than one.

        All tiles have the same size, so that they share batches: the last of a row overlaps more instead.
        """
        height, width = image_hw
        whole = Window(0, 0, width, height)
        if not self.size or max(height, width) <= self.size:
            return [whole]
        w, h = min(self.size, width), min(self.size, height)
        return [whole, *(Window(x, y, w, h) for y in self._starts(height) for x in self._starts(width))]

    def _starts(self, side: int) -> list[int]:
        last = max(side - self.size, 0)  # a side shorter than a tile has one start, 0
        return [*range(0, last, self.size - self.overlap), last]
