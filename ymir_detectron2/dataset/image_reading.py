"""Image files to arrays, the same pixels for training, mining and inference.

Images are upright (EXIF orientation applied), uint8, with three channels in BGR order, as detectron2's models expect.
Only the formats that cameras and annotation tools write are read, whatever else PIL knows.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, NamedTuple, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError
from ..label_geometry import QUARTER_TURNS
from ..untrusted_files import open_regular
from .bit_depth import DeepPixels, is_deep, stretch_limits, stretch_to_uint8
from .image_memory import decoding_bytes, first_gif_frame_hw, row_bands
from .incomplete_files import lacks_end_mark, read_png_layout, repaired_copy, require_segments
from .reading_guard import guard

DEEP = "image of more than 8 bits per channel, stretched to 8"
INCOMPLETE = "image file without its end, used"
"""Findings by which images are counted that are used, but not as they are."""

_JPEG = ("JPEG", "MPO")
_ORIENTATION = 0x0112  # EXIF tag
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
_Content = TypeVar("_Content")
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257  # TIFF tags

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
    with open_regular(path) as file, _open(path, file) as image:
        yield image


def _open(path: Path, file: BinaryIO) -> Image.Image:
    frame_hw = first_gif_frame_hw(file)
    if frame_hw is not None:
        guard().require_size(path, frame_hw, 4 * frame_hw[0] * frame_hw[1])
    require_segments(file)
    file.seek(0)
    Image.init()  # fills Image.OPEN; at once after the first time
    known = [name for name in IMAGE_FORMATS if name in Image.OPEN]
    return Image.open(file, formats=known)


class ImageFrame(NamedTuple):
    """What a file says of an image before its pixels are decoded."""

    stored_hw: tuple[int, int]
    orientation: int
    """Of EXIF, 1 to 8; 1 where there is none. It rotates the pixels as stored."""
    findings: tuple[str, ...] = ()
    """DEEP, INCOMPLETE."""

    @property
    def upright_hw(self) -> tuple[int, int]:
        height, width = self.stored_hw
        return (width, height) if self.orientation in QUARTER_TURNS else (height, width)


def read_image_hw(path: Path) -> tuple[int, int]:
    """Return height and width of the upright image from its header; the pixels may still be damaged.

    Raises:
        ImageError: no such file, not an image, or one that the memory of this machine would not hold.
    """
    return read_image_frame(path).upright_hw


def read_image_frame(path: Path) -> ImageFrame:
    """Return the size and orientation of an image from its header; the pixels may still be damaged.

    A file that breaks off is decoded, to see how much of it is missing.

    Raises:
        ImageError: no such file, not an image, a JPEG or PNG of which too much is missing, or one that the memory of
            this machine would not hold.
    """
    frame, has_end = _read(path, _read_header)
    if has_end:
        return frame
    read_image_bgr(path)
    return frame._replace(findings=(*frame.findings, INCOMPLETE))


def _read_header(path: Path, file: BinaryIO) -> tuple[ImageFrame, bool]:
    """Return what the header says, and whether the file has an end, as far as its format marks it."""
    with _open(path, file) as image:
        width, height = image.size
        tiff_tags = getattr(image, "tag_v2", None)
        if tiff_tags is not None:  # of a TIFF, newer releases of PIL return the size of the upright image
            width, height = int(tiff_tags[_TIFF_WIDTH]), int(tiff_tags[_TIFF_HEIGHT])
        guard().require_size(path, (height, width), decoding_bytes(image))
        findings = (DEEP,) if is_deep(image) else ()
        late_metadata, has_end = False, True
        if image.format == "PNG":
            late_metadata, has_end = read_png_layout(file)
        elif image.format in _JPEG:
            has_end = not lacks_end_mark(file, file.tell())
        orientation = _read_exif(image, path, late_metadata).get(_ORIENTATION, 1)
    return ImageFrame((height, width), int(orientation) if orientation in range(1, 9) else 1, findings), has_end


def _read_exif(image: Image.Image, path: Path, late_metadata: bool) -> Image.Exif:
    """Return the EXIF tags of an open image, from its header where that is enough."""
    if image.format != "PNG":
        return image.getexif()
    # of a PNG, PIL's getexif decodes all pixels, since metadata may follow them, which is too slow for 100,000 images;
    # that of its base class does not
    if not late_metadata:
        return Image.Image.getexif(image)
    with guard().in_work(path):
        guard().reserve(path, (image.height, image.width), decoding_bytes(image))
        return image.getexif()


def read_image_bgr(path: Path, *, least_side: int = 0) -> np.ndarray:
    """Return the upright image as (H, W, 3) uint8 in BGR order.

    Grey becomes three equal channels, more than 8 bits are stretched by `bit_depth.STRETCH_RULE`, transparency is
    dropped, CMYK is converted. A JPEG may lack its end, see `incomplete_files.MOST_MISSING`.

    Args:
        least_side: for thumbnails, the longer side may be smaller than that of the image, but not below this: a JPEG
            is then decoded at a half, a quarter or an eighth, which is up to ten times faster; 0: as it is.

    Raises:
        ImageError: no such file, not an image, one of which too much is missing, or one that `reading_guard` leaves
            out.
    """
    with guard().in_work(path):
        return _read(path, functools.partial(_decode_bgr, least_side=least_side))


def image_to_bgr(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image that PIL has opened as `read_image_bgr` does; of 16-bit colour PIL keeps 8 bits.

    Raises:
        ImageError: it has no pixels, or PIL cannot load them.
    """
    try:
        image.load()  # first, since it is deep then only if its samples are
        if not (image.width and image.height):
            raise ValueError("it has no pixels")
        return _upright_bgr(image, DeepPixels(image, lambda: image) if is_deep(image) else None)
    except _DAMAGED as error:
        raise _image_error(Path(getattr(image, "filename", "") or "the given image"), error) from error


def _read(path: Path, read: Callable[[Path, BinaryIO], _Content]) -> _Content:
    """Return what `read` makes of a file, or of a repaired copy of it; raise ImageError if that fails too.

    Nothing is repaired for want of memory, since a copy would need more.
    """
    try:
        with open_regular(path) as file:
            try:
                return read(path, file)
            except MemoryError:
                raise
            except _DAMAGED:
                with guard().in_work(path):
                    repaired = repaired_copy(file, functools.partial(guard().reserve, path))
                    if repaired is None:
                        raise
                    return read(path, repaired)
    except _DAMAGED as error:
        raise _image_error(path, error) from error


def _decode_bgr(path: Path, file: BinaryIO, least_side: int) -> np.ndarray:
    with _open(path, file) as image:
        if least_side:
            # both sides by the longer one; PIL's JPEG reader takes the nearest of its scales that is not smaller
            share = least_side / max(image.size)
            image.draft(None, (max(1, int(image.width * share)), max(1, int(image.height * share))))
        guard().reserve(path, (image.height, image.width), decoding_bytes(image))
        if image.format in _JPEG and lacks_end_mark(file, file.tell()):
            # PIL decodes the zeros of an unfinished download to grey without an error; a repaired copy has its end
            raise ValueError("it is truncated")
        deep = DeepPixels(image, lambda: _open(path, file)) if is_deep(image) else None
        image.load()
        return _upright_bgr(image, deep)


def _upright_bgr(image: Image.Image, deep: DeepPixels | None) -> np.ndarray:
    """Return the loaded pixels as `read_image_bgr` does."""
    # loading rotates a TIFF already
    orientation: Any = 1 if image.format == "TIFF" else image.getexif().get(_ORIENTATION)
    width, height = image.size
    upright_hw = (width, height) if orientation in QUARTER_TURNS else (height, width)
    image_bgr = np.empty((*upright_hw, 3), dtype=np.uint8)
    as_stored = _AS_STORED.get(orientation, _AS_STORED[1])(image_bgr)
    # in bands: PIL's conversion, its export to NumPy and the copy in another order would each need the memory of the
    # whole image, 18 bytes per pixel together; this way it is 8, and faster
    bands = row_bands(image.size)
    limits = (0.0, 0.0) if deep is None else stretch_limits(map(deep.samples, bands))
    for band in bands:
        rows = slice(band[1], band[3])
        if deep is None:
            as_stored[rows] = _band_bgr(image if len(bands) == 1 else image.crop(band))
        else:
            as_stored[rows] = stretch_to_uint8(deep.samples(band), limits)[:, :, ::-1]  # one channel becomes three
    return image_bgr


def _band_bgr(band: Image.Image) -> np.ndarray:
    # PIL copies what it converts to its own mode, and reverses the channels four times as fast as NumPy
    rgb = band if band.mode == "RGB" else band.convert("RGB")
    return np.frombuffer(rgb.tobytes("raw", "BGR"), dtype=np.uint8).reshape(rgb.height, rgb.width, 3)


def _image_error(path: Path, error: BaseException) -> ImageError:
    # of an open file, PIL's own words end in the repr of a Python object
    unknown = "cannot identify its format" if isinstance(error, UnidentifiedImageError) else ""
    finding = unknown or " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{path}: cannot be read as an image ({finding}); replace or remove it")
