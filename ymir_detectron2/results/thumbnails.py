"""Thumbnails: small JPEGs as data URIs, so that a page shows images and needs no other file."""

from __future__ import annotations

import base64
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np
from PIL import Image

from ..dataset.image_reading import read_image_bgr, read_image_hw
from ..errors import ImageError

SIDE = 480
"""Longer side in pixels: sharp in a gallery, and enough to judge a box when it is enlarged."""
_QUALITIES = (80, 65, 50, 35)
_SHRINK = 0.7
"""Of the side, for what is still too large: noise, which JPEG cannot compress, fits at the second or third step."""
_LEAST_SIDE = 16
_MOST_BYTES = 64_000
_MOST_THREADS = 8


class Thumbnail(NamedTuple):
    """An image of a page."""

    uri: str
    """data:image/jpeg;base64,...; '' for an image that is gone or cannot be read: the page draws a grey area."""
    width: int
    height: int
    """Of the upright original, to which boxes refer; 0 if nobody knows them any more."""


GONE = Thumbnail("", 0, 0)


def make_thumbnails(paths: Sequence[Path | None], *, budget_bytes: int, side: int = SIDE) -> list[Thumbnail]:
    """Return the thumbnails of images, in their order; the same for the same files.

    Args:
        paths: None for an image whose file is not known.
        budget_bytes: for all URIs together; each gets an equal share, and a lower quality where that is too little.
        side: the longer side in pixels, at most; a smaller image keeps its size.
    """
    share = min(_MOST_BYTES, budget_bytes // max(1, len(paths)))
    # decoding runs outside of Python's lock
    with ThreadPoolExecutor(min(_MOST_THREADS, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(lambda path: _make_thumbnail(path, side, share), paths))


def _make_thumbnail(path: Path | None, side: int, most_bytes: int) -> Thumbnail:
    if path is None:
        return GONE
    try:
        height, width = read_image_hw(path)
        pixels_bgr = read_image_bgr(path, least_side=side)
    except ImageError:
        return GONE
    return Thumbnail(_jpeg_uri(pixels_bgr, side, most_bytes), width, height)


def _jpeg_uri(pixels_bgr: np.ndarray, side: int, most_bytes: int) -> str:
    """Return the best of the smaller and smaller encodings that fits; '' if none does."""
    image = Image.fromarray(np.ascontiguousarray(pixels_bgr[:, :, ::-1]))
    while side >= _LEAST_SIDE:
        image.thumbnail((side, side))
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality)
            uri = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
            if len(uri) <= most_bytes:
                return uri
        side = int(side * _SHRINK)
    return ""
