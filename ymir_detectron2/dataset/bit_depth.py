"""Images of more than 8 bits per channel to 8 bits, by one rule for training, mining, inference, plots and export.

Thermal cameras and microscopes store 10 to 14 bits in 16, others floats between 0 and 1 or degrees: the upper 8 bits of
these are black. The file does not say what its range is, so each image is stretched to its own.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Iterable

import numpy as np
from PIL import Image

STRETCH_RULE = "each image linearly to 0..255, but for its darkest and brightest 0.01 %, over all channels"
"""How images of more than 8 bits become 8 bits; written into every model, for other programs that use it."""

_IGNORED = 10_000  # one sample of so many: hot and dead pixels must not decide how bright the others are
_DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_FOUR_BYTES = "RGBA"  # grey with transparency, for which PIL has no raw mode: two bytes of each, as if four channels
_NATIVE = "16L" if sys.byteorder == "little" else "16B"
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a TIFF tag and its value


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened image, not loaded yet, has more than 8 bits per channel that are to be stretched.

    Formats that state their depth (JPEG 2000, AVIF, PPM) are scaled by it when PIL decodes colours.
    """
    return image.mode in _DEEP_MODES or decodes_twice(image)


def decodes_twice(image: Image.Image) -> bool:
    """Return whether `DeepPixels` decodes an opened image, not loaded yet, a second time."""
    return _raw_mode_of_lower_bytes(image) != ""


class DeepPixels:
    """The samples of an image for which `is_deep` is true."""

    def __init__(self, image: Image.Image, open_again: Callable[[], Image.Image]) -> None:
        """
        Args:
            image: opened, not loaded yet; to be loaded before the first call of `samples`.
            open_again: opens the same file again. Of 16-bit colour PIL decodes the upper bytes only, so the lower ones
                need a second pass.
        """
        self._image = image
        self._lower: Image.Image | None = None
        self._is_inverted = _is_inverted(image)
        raw_mode = _raw_mode_of_lower_bytes(image)
        self._holds_both_bytes = raw_mode == _FOUR_BYTES
        if raw_mode:
            with open_again() as lower:
                _use_raw_mode(lower, raw_mode)
                lower.load()
                self._lower = lower

    def samples(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """Return the samples within x1 y1 x2 y2 as (h, w, 1) or (h, w, 3) numbers; a larger one is brighter."""
        if self._lower is None:
            grey = np.asarray(self._image.crop(box))[:, :, None]
            if grey.dtype.itemsize == 2:
                grey = grey.astype(np.uint16)  # of either byte order
            if not self._is_inverted:
                return grey
            return -grey if grey.dtype.kind == "f" else ~grey  # -x - 1, which no integer lacks
        lower = np.asarray(self._lower.crop(box))
        if self._holds_both_bytes:
            return _joined(lower[:, :, :1], lower[:, :, 1:2])
        return _joined(np.asarray(self._image.crop(box))[:, :, :3], lower[:, :, :3])


def _joined(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return np.left_shift(upper, 8, dtype=np.uint16) | lower


def _raw_mode_of_lower_bytes(image: Image.Image) -> str:
    """Return PIL's raw mode for the lower bytes of 16-bit colour; '' for other images."""
    arguments = [tile[3] for tile in getattr(image, "tile", ()) if tile[3]]
    raw_modes = {one if isinstance(one, str) else one[0] for one in arguments}
    if len(raw_modes) != 1:  # several in a TIFF with one plane per channel
        return ""
    channels, _, order = str(raw_modes.pop()).partition(";")
    order = _NATIVE if order == "16N" else order
    if channels == "LA" and order == "16B":
        return _FOUR_BYTES
    if channels in ("RGB", "RGBA", "RGBX") and order in ("16B", "16L"):
        return f"{channels};{'16L' if order == '16B' else '16B'}"  # in the other order, the other byte is the upper
    return ""


def _use_raw_mode(image: Image.Image, raw_mode: str) -> None:
    tiles: Any = image
    tiles.tile = [
        (*tile[:3], raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:])) for tile in tiles.tile
    ]


def _is_inverted(image: Image.Image) -> bool:
    """Return whether 0 is white, which PIL obeys for 8 bits only."""
    return image.mode in _DEEP_MODES and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def stretch_limits(bands: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the samples of an image that become 0 and 255 by STRETCH_RULE.

    If these are equal, as in an image of nothing but a few bright pixels: its minimum and maximum.

    Args:
        bands: all samples of the image, in parts of any shape and of one type; those that are not finite do not count.
    """
    counts = np.zeros(1 << 16, dtype=np.int64)
    others: list[np.ndarray] = []
    for band in bands:
        if band.dtype == np.uint16:  # needs no memory, where sorting needs that of the image
            counts += np.bincount(band.ravel(), minlength=len(counts))
        else:
            others.append(band[np.isfinite(band)])
    samples = np.concatenate(others) if others else np.zeros(0)
    if samples.size:
        ignored = samples.size // _IGNORED
        low, high = np.partition(samples, (ignored, -1 - ignored))[[ignored, -1 - ignored]]
        return (float(low), float(high)) if low < high else (float(samples.min()), float(samples.max()))
    present, up_to = np.flatnonzero(counts), np.cumsum(counts)
    if not present.size:
        return 0.0, 0.0
    ignored = up_to[-1] // _IGNORED
    low, high = np.searchsorted(up_to, (ignored + 1, up_to[-1] - ignored))
    return (float(low), float(high)) if low < high else (float(present[0]), float(present[-1]))


def stretch_to_uint8(samples: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Stretch samples to 0..255; all become 0 where the limits are equal, and so does NaN.

    Args:
        samples: (...) numbers of any type.
        limits: of `stretch_limits`.

    Returns:
        (...) uint8.
    """
    low, high = limits
    if low == high:
        return np.zeros(samples.shape, dtype=np.uint8)
    # clipped first: infinities and the differences of far numbers have no place in the arithmetic; float64, since
    # float32 does not hold every integer of 32 bits
    levels = samples.astype(np.float64)
    np.nan_to_num(levels, copy=False, nan=low, posinf=high, neginf=low)
    np.clip(levels, low, high, out=levels)
    levels -= low
    levels *= 255
    levels /= high - low
    return np.rint(levels, out=levels).astype(np.uint8)
