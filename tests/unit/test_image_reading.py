"""Image files of every kind are read as upright 8-bit BGR, or raise ImageError."""

from __future__ import annotations

import io
import os
import random
import resource
import struct
import warnings
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from PIL import Image

from tests.large_images import png_chunk, write_black_png
from ymir_detectron2.dataset.image_reading import image_to_bgr, read_image_bgr, read_image_hw
from ymir_detectron2.dataset.reading_guard import ReadingGuard, use_guard
from ymir_detectron2.errors import ImageError, ImageTooLargeError

UPRIGHT = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
"""(2, 3, 3) RGB, all values different."""

STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],  # mirrored left to right
    3: UPRIGHT[::-1, ::-1],  # upside down
    4: UPRIGHT[::-1],  # mirrored top to bottom
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),  # a quarter turn against the clock, to be turned back clockwise
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_orientation_is_applied_to_pixels_and_to_size(tmp_path: Path, orientation: int, suffix: str):
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(path, exif=exif)
    assert read_image_hw(path) == (2, 3)
    np.testing.assert_array_equal(read_image_bgr(path), UPRIGHT[:, :, ::-1])


def png_chunks(content: bytes) -> list[bytes]:
    """The chunks of a PNG, each with its length and checksum."""
    chunks, start = [], 8
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        chunks.append(content[start:end])
        start = end
    return chunks


def test_exif_after_the_pixels_of_a_png_is_applied(tmp_path: Path):
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(STORED[6])).save(path, exif=exif)
    chunks = png_chunks(path.read_bytes())
    late = sorted(chunks[:-1], key=lambda chunk: chunk[4:8] == b"eXIf")
    assert late[-1][4:8] == b"eXIf"
    path.write_bytes(path.read_bytes()[:8] + b"".join([*late, chunks[-1]]))
    assert read_image_hw(path) == (2, 3)
    np.testing.assert_array_equal(read_image_bgr(path), UPRIGHT[:, :, ::-1])


def test_metadata_behind_the_pixels_does_not_have_a_large_image_decoded(tmp_path: Path):
    """Only decoding finds it, which took gigabytes when no more than the size was asked for."""
    path = tmp_path / "a.png"
    write_black_png(path, 2000, 1000, behind_pixels=png_chunk(b"tEXt", b"a\0b"))
    with use_guard(ReadingGuard(max_megapixels=1)):
        for read in (read_image_hw, read_image_bgr):
            with pytest.raises(ImageTooLargeError, match="2000x1000 pixels are more than max_image_megapixels: 1"):
                read(path)


def gif(screen_wh: tuple[int, int], frame_wh: tuple[int, int], disposal: int) -> bytes:
    """One pixel's worth of data, whatever the sizes say."""
    control = b"!\xf9\x04" + bytes([disposal << 2, 0, 0, 0, 0])
    frame = b"," + struct.pack("<HHHHB", 0, 0, *frame_wh, 0) + b"\2\2D\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", *screen_wh, 0x80, 0, 0) + bytes(6) + (control + frame) * 2 + b";"


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("is_frame", [True, False])
def test_a_gif_is_refused_before_it_fills_a_frame(tmp_path: Path, disposal: int, is_frame: bool):
    """With disposal 2 or 3, PIL allocates the frame, here 4 GB, as soon as it opens the file."""
    sizes = [(1, 1), (65535, 65535)]
    (tmp_path / "a.gif").write_bytes(gif(sizes[not is_frame], sizes[is_frame], disposal))
    before_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with use_guard(ReadingGuard(max_megapixels=1000)):
        for read in (read_image_hw, read_image_bgr):
            with pytest.raises(ImageTooLargeError, match="65535x65535 pixels are more"):
                read(tmp_path / "a.gif")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before_bytes < 100_000_000


def test_the_size_of_a_png_is_read_without_decoding_it(tmp_path: Path):
    """100,000 images in 15 s allow no decoding: pixels that cannot be decoded must not matter here."""
    path = tmp_path / "a.png"
    Image.fromarray(UPRIGHT).save(path)
    chunks = png_chunks(path.read_bytes())
    damaged = [chunk[:8] + b"x" * (len(chunk) - 8) if chunk[4:8] == b"IDAT" else chunk for chunk in chunks]
    path.write_bytes(path.read_bytes()[:8] + b"".join(damaged))
    assert read_image_hw(path) == (2, 3)
    with pytest.raises(ImageError):
        read_image_bgr(path)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image_bgr(tmp_path / "a.png"), UPRIGHT[:, :, ::-1])


def one_colour(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (3, 2), colour)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "suffix", "bgr"),
    [
        pytest.param(one_colour("RGB", (1, 2, 3)), "png", (3, 2, 1), id="rgb"),
        pytest.param(one_colour("L", 7), "png", (7, 7, 7), id="grey"),
        pytest.param(one_colour("LA", (7, 0)), "png", (7, 7, 7), id="grey, transparent"),
        pytest.param(one_colour("1", 1), "png", (255, 255, 255), id="one bit"),
        pytest.param(one_colour("RGBA", (1, 2, 3, 0)), "png", (3, 2, 1), id="rgba, transparent"),
        pytest.param(one_colour("RGB", (9, 90, 200)).quantize(2), "png", (200, 90, 9), id="palette"),
        pytest.param(one_colour("RGB", (9, 90, 200)).quantize(2), "gif", (200, 90, 9), id="gif"),
        pytest.param(one_colour("CMYK", (0, 0, 0, 0)), "tif", (255, 255, 255), id="cmyk white"),
        pytest.param(one_colour("CMYK", (0, 255, 255, 0)), "tif", (0, 0, 255), id="cmyk red"),
        pytest.param(Image.fromarray(np.full((2, 3), 0xABCD, np.uint16)), "png", (0,) * 3, id="16-bit grey, even"),
        pytest.param(one_colour("RGB", (1, 2, 3)), "bmp", (3, 2, 1), id="bmp"),
    ],
)
def test_every_kind_of_image_becomes_bgr(tmp_path: Path, image: Image.Image, suffix: str, bgr: tuple[int, int, int]):
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    pixels = read_image_bgr(path)
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.array(bgr, np.uint8), (2, 3, 3)))
    assert read_image_hw(path) == (2, 3)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"])
def test_files_that_are_not_images(tmp_path: Path, content: bytes):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_image_hw, read_image_bgr):
        with pytest.raises(ImageError, match=r"a.jpg: cannot be read as an image .*; replace or remove it$"):
            read(path)


@pytest.mark.parametrize("name", ["gone.jpg", "folder", "nul\0.jpg", "x" * 300])
def test_paths_that_are_not_files(tmp_path: Path, name: str):
    (tmp_path / "folder").mkdir()
    for read in (read_image_hw, read_image_bgr):
        with pytest.raises(ImageError):
            read(tmp_path / name)


def test_a_truncated_image_has_neither_size_nor_pixels(tmp_path: Path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    for read in (read_image_hw, read_image_bgr):
        with pytest.raises(ImageError, match="truncated"):
            read(path)


def test_damaged_bytes_raise_nothing_but_an_image_error(tmp_path: Path):
    generator = random.Random(1)
    originals = list(_originals())
    path = tmp_path / "damaged"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL warns of odd EXIF, which is not tested here
        for _ in range(400):
            content = bytearray(generator.choice(originals))
            for _ in range(generator.choice([1, 1, 2, 5, 20])):
                place = generator.randrange(min(len(content), generator.choice([60, 10**6])))
                content[place] = generator.randrange(256)
            path.write_bytes(content[: generator.choice([len(content), len(content) // 2])])
            for read in (read_image_hw, read_image_bgr):
                try:
                    read(path)
                except ImageError:
                    continue


def test_formats_that_no_camera_writes_are_refused_before_their_decoders_run(tmp_path: Path):
    """EPS would start Ghostscript; PSD, FLI and their kind have a decoder each, whose holes are found every year."""
    path = tmp_path / "image.jpg"  # PIL goes by the content, not by the name
    for kind in ("DDS", "EPS", "ICO", "PCX", "SGI", "TGA"):
        Image.new("RGB", (16, 16)).save(path, kind)
        for read in (read_image_hw, read_image_bgr):
            with pytest.raises(ImageError, match="cannot identify"):
                read(path)


def test_formats_that_cameras_write_are_read(tmp_path: Path):
    path = tmp_path / "image"
    for kind in {"BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP"} & set(Image.SAVE):
        Image.new("RGB", (16, 8), (0, 0, 255)).save(path, kind)
        assert read_image_hw(path) == (8, 16), kind
        assert read_image_bgr(path)[4, 8, 0] > 250, kind


@pytest.mark.parametrize("read", [read_image_hw, read_image_bgr])
def test_a_fifo_is_not_read(tmp_path: Path, read: Callable[[Path], object]):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="Not a regular file"):
        read(tmp_path / "a.jpg")


def _originals() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 30, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = []
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **({"exif": exif.tobytes()} if kind in ("JPEG", "PNG") else {}))
        contents.append(buffer.getvalue())
    return contents


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("loaded", [False, True])
def test_an_image_that_pil_has_opened_is_that_of_its_file(tmp_path: Path, orientation: int, suffix: str, loaded: bool):
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(path, exif=exif)
    with Image.open(path) as image:
        if loaded:
            image.load()
        np.testing.assert_array_equal(image_to_bgr(image), UPRIGHT[:, :, ::-1])


def test_grey_palette_transparent_and_deep_images_of_pil(tmp_path: Path):
    Image.fromarray(np.array([[1000, 2000]], dtype=np.uint16)).save(tmp_path / "deep.png")
    images = {
        "grey": Image.new("L", (2, 1), 7), "palette": Image.new("RGB", (2, 1), (9, 8, 7)).quantize(2),
        "transparent": Image.new("RGBA", (2, 1), (9, 8, 7, 0)), "deep": Image.open(tmp_path / "deep.png"),
    }  # fmt: skip
    pixels = {name: image_to_bgr(image).tolist() for name, image in images.items()}
    assert pixels == {
        "grey": [[[7, 7, 7]] * 2], "palette": [[[7, 8, 9]] * 2], "transparent": [[[7, 8, 9]] * 2],
        "deep": [[[0, 0, 0], [255, 255, 255]]],
    }  # fmt: skip


def test_an_image_of_pil_that_cannot_be_loaded(tmp_path: Path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with Image.open(tmp_path / "a.png") as image, pytest.raises(ImageError, match=r"a\.png: cannot be read as an"):
        image_to_bgr(image)
    with pytest.raises(ImageError, match=r"the given image: cannot be read as an image \(it has no pixels"):
        image_to_bgr(Image.new("RGB", (0, 9)))


# --- thumbnails -----------------------------------------------------------------------------------------------------


WHOLE = (900, 1200)


@pytest.mark.parametrize(
    ("least_side", "hw"), [(0, WHOLE), (1200, WHOLE), (601, WHOLE), (600, (450, 600)), (150, (113, 150))]
)
def test_a_jpeg_is_decoded_no_smaller_than_asked_for(tmp_path: Path, least_side: int, hw: tuple[int, int]):
    path = tmp_path / "a.jpg"
    pixels = np.full((900, 1200, 3), (200, 40, 90), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=95)
    read = read_image_bgr(path, least_side=least_side)
    assert read.shape == (*hw, 3)
    assert abs(read.astype(int) - (90, 40, 200)).max() < 4


def test_a_smaller_jpeg_is_upright_too(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((400, 800, 3), dtype=np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image_bgr(tmp_path / "a.jpg", least_side=200).shape == (200, 100, 3)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_other_formats_are_decoded_as_they_are(tmp_path: Path, name: str):
    Image.fromarray(np.zeros((60, 80, 3), dtype=np.uint8)).save(tmp_path / name)
    assert read_image_bgr(tmp_path / name, least_side=10).shape == (60, 80, 3)


@pytest.mark.parametrize("wh", [(1, 4000), (4000, 1), (1, 1)])
def test_lines_are_decoded_smaller_too(tmp_path: Path, wh: tuple[int, int]):
    Image.new("RGB", wh).save(tmp_path / "a.jpg")
    height, width, _ = read_image_bgr(tmp_path / "a.jpg", least_side=100).shape
    assert min(height, width) == 1
    assert max(height, width) >= min(100, max(wh))
