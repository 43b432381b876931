"""Size of the network's input, and the resizing of images to it, pixel for pixel as in detectron2."""

from __future__ import annotations

import numpy as np
from PIL import Image

BILINEAR = getattr(Image, "Resampling", Image).BILINEAR  # Pillow before 9.1 has no Resampling


def resized_hw(height: int, width: int, short_edge: int, max_edge: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side at `short_edge`, unless the longer would exceed `max_edge`.

    All in pixels. A short edge of 0 leaves the image as it is.
    """
    if short_edge == 0:
        return height, width
    scale = short_edge * 1.0 / min(height, width)
    if height < width:
        new_height, new_width = float(short_edge), scale * width
    else:
        new_height, new_width = scale * height, float(short_edge)
    longer = max(new_height, new_width)
    if longer > max_edge:
        shrink = max_edge * 1.0 / longer
        new_height, new_width = new_height * shrink, new_width * shrink
    # detectron2 rounds the shorter side of a very long image to 0 and fails; a row of pixels is still an image
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def resize_image(image: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (hw[0], hw[1], 3) uint8 with PIL's bilinear filter, which smooths when it shrinks.

    An image that has this size already is returned as it is.
    """
    if image.shape[:2] == tuple(hw):
        return image
    return np.asarray(Image.fromarray(image).resize((hw[1], hw[0]), BILINEAR))
