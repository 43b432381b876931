"""PNG files of few bytes and many pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def write_black_png(path: Path, width: int, height: int, *, behind_pixels: bytes = b"") -> None:
    """Write black pixels of one bit, which a thousandth of a byte each holds.

    Args:
        behind_pixels: chunks between the pixels and the end.
    """
    row = bytes(1 + -(-width // 8))
    compressor = zlib.compressobj(9)
    pixels = bytearray()
    for _ in range(height):
        pixels += compressor.compress(row)
    pixels += compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", bytes(pixels)) + behind_pixels + png_chunk(b"IEND", b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
