"""Files without their end, and PNG files with much text: used as viewers do, unless too much is missing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.large_images import png_chunk
from ymir_detectron2.dataset.image_reading import INCOMPLETE, read_image_bgr, read_image_frame
from ymir_detectron2.dataset.incomplete_files import read_png_layout, repaired_copy, require_segments
from ymir_detectron2.dataset.reading_guard import ReadingGuard, use_guard
from ymir_detectron2.errors import ImageError, ImageTooLargeError

END = b"\xff\xd9"
PIXELS = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8).repeat(2, axis=0).repeat(2, axis=1)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS = {
    "baseline": jpeg(),
    "without subsampling": jpeg(subsampling=0),
    "progressive": jpeg(progressive=True),
    "grey": jpeg("L"),
    "CMYK": jpeg("CMYK"),
    "restarts after every block": jpeg(restart_marker_blocks=1),
    "restarts after every row": jpeg(restart_marker_rows=1),
    "progressive with restarts": jpeg(progressive=True, restart_marker_rows=2),
}  # PIL before 10.2 ignores restart_marker_*
kinds = pytest.mark.parametrize("content", KINDS.values(), ids=KINDS)


def saved(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "image"
    path.write_bytes(content)
    return path


@kinds
@pytest.mark.parametrize("tail", [b"", END[:1], bytes(5000)], ids=["no end mark", "half of it", "zeros of a download"])
def test_a_jpeg_without_its_end_mark_is_the_same_image(tmp_path: Path, content: bytes, tail: bytes):
    expected = read_image_bgr(saved(tmp_path, content))
    path = saved(tmp_path, content[:-2] + tail)
    np.testing.assert_array_equal(read_image_bgr(path), expected)
    frame = read_image_frame(path)
    assert (frame.stored_hw, frame.findings) == ((240, 320), (INCOMPLETE,))


@kinds
def test_a_whole_jpeg_and_one_with_a_trailer_have_no_finding(tmp_path: Path, content: bytes):
    assert read_image_frame(saved(tmp_path, content)).findings == ()
    assert read_image_frame(saved(tmp_path, content + b"SEFT of a telephone" * 100)).findings == ()
    assert read_image_frame(saved(tmp_path, content + b"a video " * 100_000)).findings == ()


@kinds
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_jpeg_of_which_much_is_missing_is_not_used(tmp_path: Path, content: bytes, share: float):
    path = saved(tmp_path, content[: int(len(content) * share)])
    for read in (read_image_frame, read_image_bgr):
        if b"\xff\xc2" in content and share == 0.9:
            continue  # of a progressive JPEG the last bits only: every pixel is there
        with pytest.raises(ImageError, match=r"\(it is truncated: \d+\.\d% of its pixels are missing\); replace"):
            read(path)


def test_the_last_bits_of_a_progressive_jpeg_may_be_missing_but_no_scan(tmp_path: Path):
    content = KINDS["progressive"]
    scans = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    whole = read_image_bgr(saved(tmp_path, content)).astype(int)
    path = saved(tmp_path, content[: scans[-1] + (len(content) - scans[-1]) * 996 // 1000])
    assert np.abs(read_image_bgr(path) - whole).mean() < 1
    for scan in scans[1:]:  # at the end of a scan, no block is cut: only the list of scans shows it
        with pytest.raises(ImageError, match=r"it is truncated: 100\.0% of its pixels"):
            read_image_bgr(saved(tmp_path, content[:scan]))


def test_a_dark_end_is_not_taken_for_a_missing_one(tmp_path: Path):
    """Nor does it hide one: what a decoder fills in may have the colour of what is missing."""
    for dark in (0, 128):
        pixels = PIXELS.copy()
        pixels[120:] = dark
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        content = buffer.getvalue()
        assert read_image_frame(saved(tmp_path, content[:-2])).findings == (INCOMPLETE,)
        with pytest.raises(ImageError, match="it is truncated"):
            read_image_frame(saved(tmp_path, content[:-300]))


def test_a_few_pixels_may_be_missing(tmp_path: Path):
    content = KINDS["grey"]
    path = saved(tmp_path, content[: -len(content) // 200])
    missing = (read_image_bgr(path) != read_image_bgr(saved(tmp_path.parent, content))).any(axis=2).mean()
    assert 0 < missing <= 0.012
    assert read_image_frame(path).findings == (INCOMPLETE,)


def test_an_end_mark_in_a_thumbnail_is_not_that_of_the_image(tmp_path: Path):
    content = KINDS["baseline"]
    thumbnail = b"Exif\0\0" + jpeg()[:100] + END
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = saved(tmp_path, content[:2] + segment + content[2:-2])
    assert read_image_frame(path).findings == (INCOMPLETE,)
    assert read_image_bgr(path).shape == (240, 320, 3)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()
BOMB = zlib.compress(b"a" * (3 << 20))
TEXTS = {
    "zTXt": png_chunk(b"zTXt", b"prompt\0\0" + BOMB),
    "iTXt": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "colour profile": png_chunk(b"iCCP", b"profile\0\0" + BOMB),
    "65 MiB of text": png_chunk(b"tEXt", b"prompt\0" + b"a" * (13 << 20)) * 5,
    "text with a wrong checksum": png_chunk(b"tEXt", b"prompt\0a cat")[:-1] + b"!",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("place", [33, len(PNG) - 12], ids=["before the pixels", "behind them"])
def test_a_png_with_much_text_is_the_same_image(tmp_path: Path, text: bytes, place: int):
    path = saved(tmp_path, PNG[:place] + text + PNG[place:])
    np.testing.assert_array_equal(read_image_bgr(path)[:, :, ::-1], PIXELS)
    assert read_image_frame(path).stored_hw == (240, 320)


def test_a_png_with_much_text_keeps_its_orientation_and_palette(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).quantize(16).save(buffer, "PNG", exif=exif)
    content = buffer.getvalue()
    expected = read_image_bgr(saved(tmp_path, content))
    path = saved(tmp_path, content[:33] + TEXTS["zTXt"] + content[33:])
    np.testing.assert_array_equal(read_image_bgr(path), expected)
    assert read_image_frame(path).upright_hw == (320, 240)


@pytest.mark.parametrize("missing", [12, 6, 20], ids=["no end", "half an end", "no checksum of the pixels"])
def test_a_png_without_its_end_is_the_same_image(tmp_path: Path, missing: int):
    path = saved(tmp_path, PNG[:-missing])
    np.testing.assert_array_equal(read_image_bgr(path)[:, :, ::-1], PIXELS)
    assert read_image_frame(path).findings == (INCOMPLETE,)


@kinds
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_an_unfinished_download_that_ends_in_zeros_is_not_used(tmp_path: Path, content: bytes, share: float):
    kept = int(len(content) * share)
    path = saved(tmp_path, content[:kept] + bytes(len(content) - kept))
    for read in (read_image_frame, read_image_bgr):
        with pytest.raises(ImageError):
            read(path)


def test_a_png_of_which_pixels_are_missing_is_not_used(tmp_path: Path):
    path = saved(tmp_path, PNG[: len(PNG) // 2])
    for read in (read_image_frame, read_image_bgr):
        with pytest.raises(ImageError, match="truncated"):
            read(path)


@pytest.mark.parametrize("content", [KINDS["baseline"][:-300], PNG[: len(PNG) // 2]], ids=["JPEG", "PNG"])
def test_an_image_that_memory_would_not_hold_is_not_repaired(tmp_path: Path, content: bytes):
    """It would be decoded twice more, to be refused then."""
    path = saved(tmp_path, content)
    with use_guard(ReadingGuard(max_megapixels=0.01)):
        for read in (read_image_frame, read_image_bgr):
            with pytest.raises(ImageTooLargeError, match=r"320x240 pixels are more than max_image_megapixels: 0\.01"):
                read(path)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", PNG[:40]], ids=["JPEG", "PNG"])
def test_a_file_that_memory_would_not_hold_is_not_copied(tmp_path: Path, start: bytes):
    path = saved(tmp_path, start)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # without a block on the disk
    for read in (read_image_frame, read_image_bgr):
        with pytest.raises(ImageTooLargeError, match=r"image: needs 4398\.05 GB to be read, more than 45% of the"):
            read(path)


def test_other_bytes_between_the_segments_of_a_jpeg_are_few():
    """PIL skips them one by one, of which a sparse file has a billion."""
    content = KINDS["baseline"]
    for junk in (b"", b"\xff" * 900, b"junk" * 60, b"\xff\x00" * 50):
        require_segments(io.BytesIO(content[:2] + junk + content[2:]))
    require_segments(io.BytesIO(PNG))
    endless = (bytes(300), b"\xff\x00" * 10_000, b"\xff\xe0\x00\x02" * 10_000, bytes(253) + b"\xff\x00" + bytes(300))
    # a segment that ends so that the next mark is the last byte of what is read at once
    at_the_end = b"\xff\xe0" + (4096 - 256 - 4).to_bytes(2, "big") + bytes(4096 - 256 - 6)
    endless += tuple(at_the_end + bytes(253 + number) + b"\xff" + bytes(9000) for number in range(3))
    for junk in endless:
        with pytest.raises(ValueError, match="not a JPEG behind its first bytes"):
            require_segments(io.BytesIO(content[:2] + junk + content[2:]))


def test_a_sparse_file_is_not_read_to_its_end(tmp_path: Path):
    """A billion chunks of zeros would take hours."""
    path = saved(tmp_path, PNG[:-12])
    with path.open("r+b") as file:
        file.truncate(1 << 40)
        file.seek(0)
        assert read_png_layout(file) == (False, False)


def test_each_decoding_of_a_repair_reserves_its_memory():
    content = KINDS["baseline"][:-2]
    reserved: list[tuple[tuple[int, int], int]] = []
    assert repaired_copy(io.BytesIO(content), lambda image_hw, needed: reserved.append((image_hw, needed))) is not None
    assert [image_hw for image_hw, _ in reserved] == [(0, 0), (240, 320), (240, 320)]
    assert reserved[0][1] >= 3 * len(content)
    assert min(needed for _, needed in reserved[1:]) >= 7 * 240 * 320


def test_what_cannot_be_repaired_reserves_nothing():
    assert repaired_copy(io.BytesIO(b"GIF89a"), lambda image_hw, needed: pytest.fail("reserved")) is None
