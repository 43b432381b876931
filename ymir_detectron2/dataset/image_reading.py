"""Image files to arrays, the same pixels for training, mining and inference.

Images are upright (EXIF orientation applied), uint8, with three channels in BGR order, as detectron2's models expect.
Only the formats that cameras and annotation tools write are read, whatever else PIL knows.
"""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError
from ..untrusted_files import open_regular
from .image_memory import decoding_bytes, first_gif_frame_hw
from .reading_guard import guard

_ORIENTATION = 0x0112  # EXIF tag
_QUARTER_TURNS = (5, 6, 7, 8)  # its values that swap width and height
_AS_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""Orientation -> from an upright array the view of it in which the pixels lie as in the file."""
_BAND_PIXELS = 1_000_000
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257  # TIFF tags
_METADATA_CHUNKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # of PNG, all of which can hold EXIF
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# PIL reads thirty more, with decoders that are attacked and mended less than these; EPS even starts Ghostscript.
# A release of PIL that lacks one of these (AVIF came late) reads the others.
IMAGE_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

# An image of 200 million pixels is a satellite scene, not an attack: YMIR's users own what they upload.
Image.MAX_IMAGE_PIXELS = None

# What PIL raises for damaged files, collected over some 10,000 of them: SyntaxError and struct.error come from its PNG,
# JPEG and TIFF readers, EOFError from GIF, OverflowError from BMP, RuntimeError from AVIF.
_DAMAGED = (
    ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error, Image.DecompressionBombError,
)  # fmt: skip


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file of IMAGE_FORMATS; its pixels are decoded later, within the block.

    Raises:
        OSError and what else PIL raises for damaged files.
        ImageTooLargeError: opening it would already need more memory than there is.
    """
    Image.init()  # fills Image.OPEN; at once after the first time
    known = [name for name in IMAGE_FORMATS if name in Image.OPEN]
    with open_regular(path) as file:
        frame_hw = first_gif_frame_hw(file)
        if frame_hw is not None:
            guard().require_size(path, frame_hw, 4 * frame_hw[0] * frame_hw[1])
        with Image.open(file, formats=known) as image:
            yield image


def read_image_hw(path: Path) -> tuple[int, int]:
    """Return height and width of the upright image from its header; the pixels may still be damaged.

    Raises:
        ImageError: no such file, not an image, or one that the memory of this machine would not hold.
    """
    try:
        with open_image(path) as image:
            width, height = image.size
            tiff_tags = getattr(image, "tag_v2", None)
            if tiff_tags is not None:  # of a TIFF, newer releases of PIL return the size of the upright image
                width, height = int(tiff_tags[_TIFF_WIDTH]), int(tiff_tags[_TIFF_HEIGHT])
            guard().require_size(path, (height, width), decoding_bytes(image))
            turned = _read_exif(image, path).get(_ORIENTATION) in _QUARTER_TURNS
    except _DAMAGED as error:
        raise _image_error(path, error) from error
    return (width, height) if turned else (height, width)


def _read_exif(image: Image.Image, path: Path) -> Image.Exif:
    """Return the EXIF tags of an open image, from its header where that is enough."""
    if image.format != "PNG":
        return image.getexif()
    # of a PNG, PIL's getexif decodes all pixels, since metadata may follow them, which is too slow for 100,000 images;
    # that of its base class does not
    if not _has_metadata_behind_pixels(path):
        return Image.Image.getexif(image)
    with guard().in_work(path):
        guard().reserve(path, (image.height, image.width), decoding_bytes(image))
        return image.getexif()


def _has_metadata_behind_pixels(path: Path) -> bool:
    """Return whether a PNG has metadata after its pixels, from the headers of its chunks."""
    behind_pixels = False
    with open_regular(path) as file:
        file.seek(8)  # the signature
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if behind_pixels and kind in _METADATA_CHUNKS:
                return True
            behind_pixels = behind_pixels or kind == b"IDAT"
            file.seek(length + 4, 1)  # content and checksum
    return False


def read_image_bgr(path: Path) -> np.ndarray:
    """Return the upright image as (H, W, 3) uint8 in BGR order.

    Grey becomes three equal channels, 16-bit grey keeps its upper 8 bits, transparency is dropped, CMYK is converted.

    Raises:
        ImageError: no such file, not an image, a truncated one, or one that `reading_guard` leaves out.
    """
    try:
        with guard().in_work(path), open_image(path) as image:
            guard().reserve(path, (image.height, image.width), decoding_bytes(image))
            image.load()
            return _upright_bgr(image)
    except _DAMAGED as error:
        raise _image_error(path, error) from error


def _upright_bgr(image: Image.Image) -> np.ndarray:
    """Return the loaded pixels as `read_image_bgr` does."""
    # loading rotates a TIFF already
    orientation: Any = 1 if image.format == "TIFF" else image.getexif().get(_ORIENTATION)
    width, height = image.size
    upright_hw = (width, height) if orientation in _QUARTER_TURNS else (height, width)
    image_bgr = np.empty((*upright_hw, 3), dtype=np.uint8)
    as_stored = _AS_STORED.get(orientation, _AS_STORED[1])(image_bgr)
    # in bands: PIL's conversion, its export to NumPy and the copy in another order would each need the memory of the
    # whole image, 18 bytes per pixel together; this way it is 8, and faster
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        as_stored[top:bottom] = _rgb(image.crop((0, top, width, bottom)))[:, :, ::-1]
    return image_bgr


def _rgb(band: Image.Image) -> np.ndarray:
    """Return pixels as (H, W, 3) uint8."""
    if band.mode in _SIXTEEN_BIT_MODES:  # PIL's convert would clip at 255: all white
        grey = np.clip(np.asarray(band, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.broadcast_to(grey[:, :, None], (*grey.shape, 3))
    return np.asarray(band.convert("RGB"))


def _image_error(path: Path, error: BaseException) -> ImageError:
    # of an open file, PIL's own words end in the repr of a Python object
    unknown = "cannot identify its format" if isinstance(error, UnidentifiedImageError) else ""
    finding = unknown or " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{path}: cannot be read as an image ({finding}); replace or remove it")
