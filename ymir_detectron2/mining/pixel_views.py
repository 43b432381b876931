"""How the pixels of a view are made, wherever the picture lies: in main memory or on the detector's device.

Letters: H and W height and width of a picture in pixels. Pictures are (H, W, 3) uint8 BGR and are never changed in
place. `array_views.py` does it for NumPy arrays, `device_views.py` for torch tensors; boxes and random numbers are the
business of `augmentations.py` and the same for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Sequence, Tuple

import numpy as np

from . import array_views

if TYPE_CHECKING:
    from ..engines.base import Pixels

Hole = Tuple[int, int, int, int]
"""x1 y1 x2 y2 in whole pixels, x2 and y2 exclusive, inside the picture."""


class PixelViews(Protocol):
    """The five changes that the views are made of; every result is contiguous."""

    def mirrored(self, image: Any) -> Any:
        """Left and right swapped."""

    def with_holes(self, image: Any, holes: Sequence[Hole]) -> Any:
        """Black inside of the holes; the picture itself if there are none."""

    def resized(self, image: Any, hw: tuple[int, int]) -> Any:
        """Of height hw[0] and width hw[1]: PIL's bilinear filter, the same numbers everywhere."""

    def rotated(self, image: Any, matrix: np.ndarray) -> Any:
        """Mapped by a (2, 3) affine matrix from old to new pixels, as `cv2.warpAffine`: same size, bilinear, black
        where nothing comes from. Tensors and arrays differ by one grey level here and there."""

    def on_canvas(self, image: Any, hw: tuple[int, int]) -> Any:
        """In the upper left corner of a black picture of height hw[0] and width hw[1], at least its own."""


def pixel_views(image: Pixels) -> PixelViews:
    """What makes views of this kind of picture."""
    if isinstance(image, np.ndarray):
        return array_views
    from . import device_views  # torch is there if there is a tensor; without one it is not imported

    return device_views
