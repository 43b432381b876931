"""The memory that decoding an image needs, estimated from its header, and the bands that keep it small.

Measured as the peak of a process that calls `image_reading.read_image_bgr` on 12 million pixels, with Pillow 10.4 and
13.0: rounded up, since decoders differ between builds.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import Image

from .bit_depth import decodes_twice, is_deep

_ARRAY = 3  # bytes per pixel of the result
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # of PIL's modes; others: 4
_BAND_PIXELS = 1_000_000
_BAND_BYTES = 20_000_000  # what is converted at a time, and PIL's own buffers
_STRETCHED = 14  # bytes per sample of a band that is stretched, in 64 bits
_SORTED = 12  # bytes per pixel of numbers with 32 bits, which are collected, joined and sorted
_TILE_WIDTH, _TILE_LENGTH, _ROWS_PER_STRIP = 322, 323, 278  # TIFF tags
_TIFF_SAMPLE_BYTES = 4 * 8  # at most: four channels of 64 bits


def decoding_bytes(image: Image.Image) -> int:
    """Return the memory in bytes that decoding an open image needs at its peak, with the array that is made of it."""
    pixels = image.width * image.height
    decoded = _BYTES_PER_PIXEL.get(image.mode, 4) + _decoder_bytes_per_pixel(image)
    if decodes_twice(image):
        decoded *= 2
    sorted_bytes = _SORTED if image.mode in ("F", "I") else 0
    stretched = _STRETCHED * len(image.getbands()) * min(pixels, _BAND_PIXELS) if is_deep(image) else 0
    return pixels * (_ARRAY + decoded + sorted_bytes) + _tile_bytes(image) + _BAND_BYTES + stretched


def row_bands(image_wh: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return the bands of rows, as x1 y1 x2 y2, in which an image is converted with little memory."""
    width, height = image_wh
    rows = max(1, _BAND_PIXELS // width)
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def _decoder_bytes_per_pixel(image: Image.Image) -> int:
    """Return what the decoder of a format holds of the whole image besides the result."""
    bands = len(image.getbands())
    if image.format in ("JPEG", "MPO"):
        return 2 * bands if image.info.get("progressive") else 0  # 16-bit coefficients of all scans
    if image.format == "JPEG2000":
        return 4 * bands + 2  # 32 bits per sample
    if image.format == "WEBP":
        return 12  # two canvases of the animation decoder, and a copy
    if image.format == "AVIF":
        return 8  # planes of up to 16 bits, and a copy
    if image.format in ("GIF", "TIFF"):
        return 4  # the frame that comes next; a rotated copy
    return 0


def _tile_bytes(image: Image.Image) -> int:
    """Return the size of a tile or strip of a TIFF, which may be larger than the image and is decoded as a whole."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return 0
    if _TILE_WIDTH in tags:
        return int(tags[_TILE_WIDTH]) * int(tags.get(_TILE_LENGTH, 1)) * _TIFF_SAMPLE_BYTES
    rows = min(int(tags.get(_ROWS_PER_STRIP, image.height)), image.height)
    return rows * image.width  # libtiff decodes a strip, and PIL unpacks it row by row


def first_gif_frame_hw(file: BinaryIO) -> tuple[int, int] | None:
    """Return height and width of the first frame of a GIF, and the file to its beginning; None: it is no GIF.

    PIL fills a frame of that size with the colour of the background as soon as it opens the file, whatever the size of
    the image is.
    """
    file.seek(0)
    try:
        header = file.read(13)
        if header[:4] != b"GIF8":
            return None
        if header[10] & 0x80:
            file.seek(3 << ((header[10] & 7) + 1), 1)  # the colour table
        while file.read(1) == b"!":  # extensions: a label, and blocks of at most 255 bytes up to an empty one
            file.seek(1, 1)
            while length := ord(file.read(1) or b"\0"):
                file.seek(length, 1)
        width, height = struct.unpack("<4xHH", file.read(8))
        return height, width
    except (LookupError, struct.error):  # truncated: PIL says it better
        return None
    finally:
        file.seek(0)
