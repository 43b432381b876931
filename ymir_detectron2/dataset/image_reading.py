"""Picture files to arrays, the same pixels for training, mining and inference.

Pictures are upright (EXIF orientation applied), 8-bit, three channels in BGR order, as detectron2's models expect them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import ImageError

_ORIENTATION = 0x0112  # EXIF tag
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_METADATA_CHUNKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # of PNG, all of which can hold EXIF
_QUARTER_TURNS = (5, 6, 7, 8)  # its values that swap width and height
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# A picture of 200 million pixels is a satellite scene, not an attack: YMIR's users own what they upload.
Image.MAX_IMAGE_PIXELS = None

# What PIL raises on damaged files, found by feeding it some 10,000: SyntaxError and struct.error come from PNG, JPEG
# and TIFF readers, EOFError from GIF, OverflowError from BMP, RuntimeError from AVIF.
_DAMAGED = (
    ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error, Image.DecompressionBombError,
)  # fmt: skip


def read_image_hw(path: Path) -> tuple[int, int]:
    """Height and width of the upright picture, from the header alone: the pixels may still prove damaged.

    Raises:
        ImageError: no such file, or no picture.
    """
    try:
        with Image.open(path) as image:
            width, height = _stored_wh(image)
            turned = _exif(image, path).get(_ORIENTATION) in _QUARTER_TURNS
    except _DAMAGED as error:
        raise _image_error(path, error) from error
    return (width, height) if turned else (height, width)


def _exif(image: Image.Image, path: Path) -> Image.Exif:
    """The EXIF data. PIL decodes a whole PNG in search of it, which 100,000 pictures cannot wait for."""
    if image.format == "PNG" and not _has_metadata_behind_pixels(path):
        return Image.Image.getexif(image)
    return image.getexif()


def _has_metadata_behind_pixels(path: Path) -> bool:
    """Whether a PNG goes on with metadata where most are at their end; reads the headers of its chunks alone."""
    behind_pixels = False
    with path.open("rb") as file:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if behind_pixels and kind in _METADATA_CHUNKS:
                return True
            behind_pixels = behind_pixels or kind == b"IDAT"
            file.seek(length + 4, 1)  # 4: the checksum
    return False


def _stored_wh(image: Image.Image) -> tuple[int, int]:
    """Width and height before any turning; of a TIFF, newer releases of PIL tell those of the upright picture."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT]))


def read_image_bgr(path: Path) -> np.ndarray:
    """The upright picture as (H, W, 3) uint8 in BGR order.

    Grey becomes three equal channels, 16-bit grey keeps its upper 8 bits, transparency is dropped, CMYK is converted.

    Raises:
        ImageError: no such file, no picture, or one that breaks off.
    """
    try:
        with Image.open(path) as file:
            file.load()  # this turns a TIFF already, and PIL before version 10 would turn it once more
            image = file if file.format == "TIFF" else ImageOps.exif_transpose(file) or file
            if image.mode in _SIXTEEN_BIT_MODES:
                grey = np.clip(np.asarray(image, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
                rgb = np.repeat(grey[:, :, None], 3, axis=2)
            else:
                rgb = np.asarray(image.convert("RGB"))
    except _DAMAGED as error:
        raise _image_error(path, error) from error
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _image_error(path: Path, error: BaseException) -> ImageError:
    finding = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{path}: cannot be read as a picture ({finding}); replace or remove it")
