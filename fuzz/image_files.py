"""Image files of all formats that are read: small real ones, drawn once, with damage to bytes, chunks and tags."""

from __future__ import annotations

import functools
import io
import random
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Iterator

import numpy as np
from PIL import Image

from ymir_detectron2.dataset.image_reading import IMAGE_FORMATS, read_image_bgr, read_image_hw
from ymir_detectron2.errors import ImageError

from .mutation import damaged

EXPECTED = (ImageError,)
"""What the readers may raise."""

_MAX_PIXELS = 1 << 22  # larger ones are for the bounds of memory, not for damage
_MODES = ("RGB", "L", "P", "1", "RGBA", "CMYK", "I;16", "LA", "F", "I")
_NUMBERS = (0, 1, 2, 3, 5, 6, 8, 255, 256, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_PNG_CHUNKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"IDAT", b"fdAT", b"fcTL", b"acTL", b"tRNS", b"iCCP")
_OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "JPEG": ({}, {"progressive": True}, {"subsampling": 2, "restart_marker_blocks": 1}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "packbits"}, {"compression": "tiff_adobe_deflate"}),
    "GIF": ({}, {"interlace": 0}), "PNG": ({}, {"optimize": True}), "WEBP": ({}, {"lossless": True}),
}  # fmt: skip

warnings.simplefilter("ignore")  # Pillow warns of much of this; the log of a task has the same lines once


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one damaged image."""
    name, content = rng.choice(_drawn())
    change = rng.choice((_with_number, _with_number, *_CHANGES.get(name, ())))
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        content = change(content, rng)
    path = folder / "a.jpg"
    path.write_bytes(damaged(content, rng, 0.4))
    return path


def read(path: Path) -> None:
    """Read size and pixels."""
    height, width = read_image_hw(path)
    assert height > 0, "no height"
    assert width > 0, "no width"
    if height * width <= _MAX_PIXELS:
        pixels = read_image_bgr(path)
        assert pixels.dtype == np.uint8, pixels.dtype
        assert pixels.shape[2:] == (3,), pixels.shape


@functools.lru_cache(maxsize=None)
def _drawn() -> list[tuple[str, bytes]]:
    """Return format and content of one image per format, mode and option that Pillow can write."""
    return list(_draw())


def _draw() -> Iterator[tuple[str, bytes]]:
    Image.init()
    gradient = np.arange(24 * 17, dtype=np.uint16).reshape(17, 24) % 256
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker"})
    for name in IMAGE_FORMATS:
        for mode in _MODES if name in Image.SAVE else ():
            for options in _OPTIONS.get(name, ({},)):
                image = Image.fromarray(gradient.astype(np.uint8)).convert("L")
                image = Image.fromarray(gradient) if mode == "I;16" else image.convert(mode)
                buffer = io.BytesIO()
                try:
                    image.save(buffer, name, exif=exif, **options)
                except (OSError, ValueError, KeyError, RuntimeError):  # a mode that the format does not have
                    continue
                yield name, buffer.getvalue()


def _with_number(content: bytes, rng: random.Random) -> bytes:
    """Write an extreme number somewhere, mostly into the header."""
    form = rng.choice(("<H", ">H", "<I", ">I"))
    place = rng.randrange(min(len(content), rng.choice((64, 200, len(content)))) or 1)
    number = struct.pack(form, rng.choice(_NUMBERS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
    return content[:place] + number + content[place + len(number) :]


def _with_png_chunk(content: bytes, rng: random.Random) -> bytes:
    """Change one chunk of a PNG, and write its checksum anew, without which it is not even read."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        length = struct.unpack(">I", content[place : place + 4])[0]
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return content
    number = rng.randrange(len(chunks))
    kind, data = chunks[number]
    kind = rng.choice((kind, kind, *_PNG_CHUNKS))
    chunks[number : number + rng.randrange(2)] = [(kind, damaged(_with_number(data, rng), rng, 0.5))]
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _with_jpeg_segment(content: bytes, rng: random.Random) -> bytes:
    """Insert a segment behind the signature: metadata, or a second header."""
    exif = b"Exif\0\0" + rng.choice((b"II*\0", b"MM\0*")) + bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
    marker, data = rng.choice((
        (0xE1, exif), (0xE2, b"MPF\0" + exif[6:]), (0xE2, b"ICC_PROFILE\0" + exif), (0xED, b"Photoshop 3.0\0" + exif),
        (0xC0, struct.pack(">BHHB", 8, rng.choice(_NUMBERS) & 0xFFFF, 24, rng.choice((0, 1, 3, 4, 255))) + exif[:9]),
        (0xDB, exif), (0xEE, b"Adobe" + exif), (0xDD, b"\0\1"), (0xFE, exif),
    ))  # fmt: skip
    length = len(data) + 2 if rng.random() < 0.8 else rng.choice(_NUMBERS) & 0xFFFF
    return content[:2] + struct.pack(">BBH", 0xFF, marker, length) + data + content[2:]


def _with_tiff_tag(content: bytes, rng: random.Random) -> bytes:
    """Change tag, type, count or value of one entry of the first directory of a TIFF."""
    if len(content) < 8:
        return content
    order = "<" if content[:1] == b"I" else ">"
    start = struct.unpack(order + "I", content[4:8])[0] + 2
    entry = start + 12 * rng.randrange(16)
    field, place = rng.choice((("H", 0), ("H", 2), ("I", 4), ("I", 8), ("H", 8)))
    number = struct.pack(order + field, rng.choice((*_NUMBERS, 257, 258, 259, 262, 273, 277, 279, 322)) & 0xFFFF)
    return content[: entry + place] + number + content[entry + place + len(number) :]


_CHANGES = {
    "PNG": (_with_png_chunk,) * 3, "JPEG": (_with_jpeg_segment,) * 2, "MPO": (_with_jpeg_segment,) * 2,
    "TIFF": (_with_tiff_tag,) * 4,
}  # fmt: skip
