"""Image files of more than 8 bits per channel, most of which PIL reads and does not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tests.large_images import png_chunk


def png(samples: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits with (H, W, C) samples; PIL writes grey only."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, content) for kind, content in chunks)


def tiff(samples: np.ndarray, *, photometric: int, byte_order: str = "<") -> bytes:
    """An uncompressed TIFF with (H, W, C) samples of any type."""
    height, width, channels = samples.shape
    pixels = samples.astype(samples.dtype.newbyteorder(byte_order)).tobytes()
    bits, kind = samples.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    end = 8 + len(pixels)
    bits_at = end + 2 + 10 * 12 + 4
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits if channels == 1 else bits_at), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels)),
        (339, 3, 1, kind),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack(f"{byte_order}HHI", tag, of, count)
        + (struct.pack(f"{byte_order}HH", value, 0) if of == 3 and count == 1 else struct.pack(f"{byte_order}I", value))
        for tag, of, count, value in tags
    )
    mark = b"II" if byte_order == "<" else b"MM"
    start = mark + struct.pack(f"{byte_order}HI", 42, end)
    directory = struct.pack(f"{byte_order}H", len(tags)) + entries + struct.pack(f"{byte_order}I", 0)
    return start + pixels + directory + struct.pack(f"{byte_order}{channels}H", *[bits] * channels)
