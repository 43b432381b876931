"""Image files that a strict decoder refuses and every viewer shows: without their end, or with too much text.

Some cameras and downloads lose the last bytes of JPEG files; whole sets then lack nothing but the end mark. Programs
that write prompts, XMP or large colour profiles into PNG files exceed what PIL reads of such text.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, Callable, Iterator, NamedTuple, Tuple

import numpy as np
from PIL import Image

from .image_memory import decoding_bytes, row_bands
from .reading_guard import NO_PIXELS

Reserve = Callable[[Tuple[int, int], int], None]
"""Reserves memory as `ReadingGuard.reserve` does, given height and width of what is to be decoded and bytes."""

MOST_MISSING = 0.01
"""Share of the pixels of a JPEG that may be missing. A strip of that size at the bottom is overlooked by whoever labels
the image, and costs a box at most that strip; more would teach grey areas."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # all of which can hold EXIF
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")  # what pixels and orientation depend on

_START, _END = b"\xff\xd8", b"\xff\xd9"  # marks of JPEG
_SOF = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # frame headers of the kinds of JPEG that decoders know
_SOS, _DRI = 0xDA, 0xDD
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xDA), 0xFF)  # restarts, start and end; 0xFF fills up
_CHUNK_BYTES = 4096  # the header of most files
_MOST_SEGMENTS = 10_000  # of a header: a large colour profile has a hundred
_MOST_JUNK = 256  # bytes between two segments; PIL and libjpeg skip any number
_NEVER_SENT = 16
_FEW_ZEROS = 16
_TRAILER = 1 << 16  # bytes that cameras may write behind the end mark; phones write a video
_MOST_SEARCHED = 1 << 26
_COPIES = 4  # of a file, that are held at the same time to repair it


class PngLayout(NamedTuple):
    """What the headers of the chunks of a PNG say."""

    has_metadata_behind_pixels: bool
    has_end: bool


def read_png_layout(file: BinaryIO) -> PngLayout:
    """Walk through the chunks of a PNG without reading their content."""
    has_pixels = has_late_metadata = False
    for kind, length in _png_chunks(file):
        if kind == b"IEND":
            return PngLayout(has_late_metadata, True)
        has_late_metadata = has_late_metadata or (has_pixels and kind in _PNG_METADATA)
        has_pixels = has_pixels or kind == b"IDAT"
        file.seek(length + 4, 1)  # content and checksum
    return PngLayout(has_late_metadata, False)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk, with the file at its content; whoever iterates moves behind its checksum."""
    file.seek(len(_PNG))
    # letters: else the zeros of an unfinished download would be chunks without content, a billion in a sparse file
    while len(header := file.read(8)) == 8 and header[4:].isalpha():
        length, kind = struct.unpack(">I4s", header)
        yield kind, length


def require_segments(file: BinaryIO) -> None:
    """Refuse a JPEG whose header is not made of segments; a file of another kind passes.

    PIL skips other bytes one by one until the next segment, which in an unfinished download of a gigabyte takes long.

    Raises:
        ValueError: it is not.
    """
    file.seek(0)
    chunk, base, at = file.read(_CHUNK_BYTES), 0, len(_START)
    if not chunk.startswith(_START):
        return
    for _ in range(_MOST_SEGMENTS):
        if at + _MOST_JUNK + 4 > len(chunk):  # a mark and its length may begin at the last byte
            base, at = base + at, 0
            file.seek(base)
            chunk = file.read(_CHUNK_BYTES)
        begin = chunk.find(b"\xff", at, at + _MOST_JUNK)
        if begin < 0 and len(chunk) >= at + _MOST_JUNK:
            break
        if begin < 0 or len(chunk) < begin + 4 or chunk[begin + 1] == _SOS:  # the file ends, or its pixels begin
            return
        length = int.from_bytes(chunk[begin + 2 : begin + 4], "big")
        at = begin + (1 if chunk[begin + 1] in _WITHOUT_LENGTH else 2 + max(2, length))
    raise ValueError("it is not a JPEG behind its first bytes")


def lacks_end_mark(file: BinaryIO, pixels_start: int) -> bool:
    """Return whether a JPEG breaks off.

    Args:
        pixels_start: offset of the compressed pixels, which never contain the bytes of an end mark; headers may, in a
            thumbnail.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 2))
    if file.read() == _END:
        return False
    file.seek(max(pixels_start, size - _TRAILER))
    if _END in file.read():
        return False
    file.seek(pixels_start)
    return _END not in file.read(_MOST_SEARCHED)


def repaired_copy(file: BinaryIO, reserve: Reserve) -> io.BytesIO | None:
    """Return a file that could not be read in a form that can be; None if it is not a PNG or JPEG with pixels.

    Args:
        reserve: called before the file is copied and before each time that it is decoded, which is twice.

    Raises:
        ValueError: too much of the pixels of a JPEG is missing.
        OSError and what else PIL raises for damaged files.
    """
    file.seek(0)
    start = file.read(len(_PNG))
    if start != _PNG and not start.startswith(_START):
        return None
    reserve(NO_PIXELS, _COPIES * file.seek(0, io.SEEK_END))
    if start == _PNG:
        return _png_without_metadata(file)
    file.seek(0)
    data = file.read()
    header = _JpegHeader(data)
    if not header.has_pixels:
        return None
    missing = _missing_share(data, header, reserve)
    if missing > MOST_MISSING:
        raise ValueError(f"it is truncated: {missing:.1%} of its pixels are missing")
    return io.BytesIO(_without_padding(data) + _END)


def _png_without_metadata(file: BinaryIO) -> io.BytesIO:
    copy = io.BytesIO()
    copy.write(_PNG)
    size = file.seek(0, io.SEEK_END)
    for kind, length in _png_chunks(file):
        if kind not in _PNG_PIXELS:
            file.seek(length + 4, 1)
            continue
        copy.write(struct.pack(">I4s", length, kind))
        copy.write(file.read(min(length + 4, size - file.tell())))  # a wrong length would reserve gigabytes
    copy.seek(0)
    return copy


def _without_padding(data: bytes) -> bytes:
    """Return a JPEG without the zeros of an unfinished download and without half an end mark."""
    end = data.rstrip(b"\0")
    if len(data) - len(end) < _FEW_ZEROS:  # bytes of the pixels
        end = data
    return end[:-1] if end.endswith(b"\xff") else end  # FF 00 would be a byte of the pixels


def _missing_share(data: bytes, header: _JpegHeader, reserve: Reserve) -> float:
    """Return the share of the pixels of a JPEG that depend on what is missing behind its last byte.

    These are the pixels that change with what is appended. Decoders do not say how far they came.
    """
    if not header.has_all_scans:
        return 1.0
    data = _without_padding(data)
    nothing = _decode(data + _END, reserve)
    noise = _decode(data + header.noise() + _END, reserve)
    num_changed = 0
    for band in row_bands(nothing.size):
        changed = np.asarray(nothing.crop(band)) != np.asarray(noise.crop(band))
        num_changed += np.count_nonzero(changed.any(axis=2) if changed.ndim == 3 else changed)
    return num_changed / (nothing.width * nothing.height)


def _decode(data: bytes, reserve: Reserve) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as image:
        reserve((image.height, image.width), decoding_bytes(image))
        image.load()
        return image


class _JpegHeader:
    """What the segments of a JPEG say about its scans, up to the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._lowest_bits: dict[int, list[int]] = {}  # of each coefficient of a component, the last bit that was sent
        self._pixels = self._block_pixels = 0
        self._blocks_per_interval = self._next_restart = 0
        for mark, content in _jpeg_segments(data):
            if mark in _SOF:
                height, width, count = struct.unpack_from(">HHB", content, 1)
                samplings = content[7 : 7 + 3 * count : 3]  # of the channels, horizontal and vertical in four bits each
                self._pixels = height * width
                self._block_pixels = 64 * max(one >> 4 for one in samplings) * max(one & 15 for one in samplings)
                self._lowest_bits = {component: [_NEVER_SENT] * 64 for component in content[6 : 6 + 3 * count : 3]}
            elif mark == _DRI:
                self._blocks_per_interval = int.from_bytes(content[:2], "big")
            elif mark == _SOS:
                self._next_restart = 0
                self._add_scan(content)
            elif 0xD0 <= mark <= 0xD7:
                self._next_restart = (mark - 0xD0 + 1) % 8

    def _add_scan(self, content: bytes) -> None:
        count = content[0]
        first, last, bits = content[1 + 2 * count : 4 + 2 * count]
        for component in content[1 : 1 + 2 * count : 2]:
            self._lowest_bits[component][first : last + 1] = [bits & 15] * (last + 1 - first)

    @property
    def has_pixels(self) -> bool:
        """Whether a scan has begun."""
        return any(min(bits) < _NEVER_SENT for bits in self._lowest_bits.values())

    @property
    def has_all_scans(self) -> bool:
        """Whether the last scan has begun. Each scan of a progressive JPEG makes the whole image a little sharper."""
        return not any(map(max, self._lowest_bits.values()))

    def noise(self) -> bytes:
        """Return random bytes that a decoder takes for the pixels of the next tenth of the image.

        What follows them is grey, whatever comes before; so they have to reach further than MOST_MISSING.
        """
        generator = np.random.default_rng(0)
        interval = self._blocks_per_interval * self._block_pixels or self._pixels
        # a tenth of a byte per pixel is more than random codes need; 255 would begin a mark
        length, count = interval // 10 + 64, self._pixels // (10 * interval) + 2
        parts = []
        for number in range(count):  # a decoder goes on with the next interval at the next restart mark
            parts.append(generator.integers(0, 255, length, dtype=np.uint8).tobytes())
            parts.append(bytes((0xFF, 0xD0 + (self._next_restart + number) % 8)))
        return b"".join(parts[:-1]) if self._blocks_per_interval else parts[0]


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each mark with the content of its segment; b"" where it has none."""
    at = len(_START)
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        mark = data[at + 1]
        if mark in (0, 1, 0xFF) or 0xD0 <= mark <= 0xD9:  # a byte of the pixels, padding, or a mark without content
            if 0xD0 <= mark <= 0xD7:
                yield mark, b""
            at += 1 if mark == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield mark, data[at + 4 : at + 2 + length]
        at += 2 + length
