"""What decoding is estimated to need is at least what it needs, by the peak of a process that does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from PIL import Image

from tests.deep_images import png, tiff
from tests.running import PROJECT_DIR
from ymir_detectron2.dataset.image_memory import decoding_bytes, row_bands
from ymir_detectron2.dataset.image_reading import open_image
from ymir_detectron2.dataset.incomplete_files import repaired_copy

W, H = 3000, 2000
_CODE = """
import re, sys
from pathlib import Path
from ymir_detectron2.dataset.image_reading import read_image_bgr
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
read_image_bgr(Path(sys.argv[2]))  # loads the decoder
before = peak()
read_image_bgr(Path(sys.argv[1]))
print(peak() - before)
"""


def peak_bytes(file: Path, small: Path) -> int:
    command = [sys.executable, "-c", _CODE, str(file), str(small)]
    return int(subprocess.run(command, cwd=PROJECT_DIR, check=True, capture_output=True, text=True).stdout)


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("JPEG", "RGB", {}), ("JPEG", "RGB", {"progressive": True, "subsampling": 0}), ("JPEG", "L", {}),
    ("JPEG", "CMYK", {"progressive": True}), ("PNG", "RGB", {}), ("PNG", "1", {}), ("PNG", "RGBA", {}),
    ("BMP", "RGB", {}), ("GIF", "P", {"disposal": 2}), ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "F", {}),
    ("WEBP", "RGB", {"lossless": True, "method": 0}), ("WEBP", "RGBA", {"method": 0}), ("JPEG2000", "RGB", {}),
    ("JPEG2000", "RGBA", {}), ("PPM", "RGB", {}), ("AVIF", "RGB", {"speed": 10}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode", "options"), CASES, ids=lambda value: str(value))
def test_the_estimate_holds(tmp_path: Path, kind: str, mode: str, options: dict[str, Any]):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow has no {kind}")
    ramp = np.add.outer(np.arange(H), np.arange(W)).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp.T.reshape(H, W), 255 - ramp], axis=2))
    image = image.convert("L").convert(mode) if mode in ("F", "1") else image.convert(mode)
    file, small = tmp_path / "a.img", tmp_path / "small.img"
    image.save(file, kind, **options)
    image.crop((0, 0, 16, 16)).save(small, kind, **options)
    with open_image(file) as opened:
        estimate = decoding_bytes(opened)
    assert peak_bytes(file, small) <= estimate
    assert estimate <= 30 * W * H  # and not of an order that leaves out ordinary images


GREY = (np.add.outer(np.arange(H), np.arange(W)) * 7).astype(np.uint16)[:, :, None]
COLOURS = np.concatenate([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # in TIFF
DEEP: dict[str, Callable[[Any], bytes]] = {
    "PNG, grey": lambda part: png(GREY[part], 0),
    "PNG, grey with transparency": lambda part: png(COLOURS[part][:, :, :2], 4),
    "PNG, colour": lambda part: png(COLOURS[part], 2),
    "TIFF, grey": lambda part: tiff(GREY[part], photometric=BLACK_IS_ZERO),
    "TIFF, colour": lambda part: tiff(COLOURS[part], photometric=RGB),
    "TIFF, 32 bits": lambda part: tiff(GREY[part].astype(np.int32) * 300, photometric=BLACK_IS_ZERO),
    "TIFF, floats": lambda part: tiff(GREY[part].astype(np.float32), photometric=WHITE_IS_ZERO),
}


@pytest.mark.slow
@pytest.mark.parametrize("content", DEEP.values(), ids=DEEP)
def test_the_estimate_holds_for_more_than_8_bits(tmp_path: Path, content: Callable[[Any], bytes]):
    """Colours are decoded twice; numbers of 32 bits are sorted."""
    file, small = tmp_path / "a.img", tmp_path / "small.img"
    file.write_bytes(content(np.s_[:]))
    small.write_bytes(content(np.s_[:16, :16]))
    with open_image(file) as opened:
        estimate = decoding_bytes(opened)
    assert peak_bytes(file, small) <= estimate
    assert estimate <= 35 * W * H


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"progressive": True, "subsampling": 0}], ids=["baseline", "progressive"])
def test_the_estimate_holds_for_a_repair(tmp_path: Path, options: dict[str, Any]):
    file, small = tmp_path / "a.jpg", tmp_path / "small.jpg"
    image = Image.fromarray((COLOURS >> 8).astype(np.uint8))
    for path, part in ((file, image), (small, image.crop((0, 0, 16, 16)))):
        part.save(path, **options)
        path.write_bytes(path.read_bytes()[:-2])
    reserved: list[int] = []
    with open_image(file) as opened:
        reserved.append(decoding_bytes(opened))
    with file.open("rb") as content:
        repaired_copy(content, lambda _, needed: reserved.append(needed))
    assert peak_bytes(file, small) <= sum(reserved)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3000, 2000), (2_000_000, 3), (7, 1_000_000)])
def test_bands_are_all_rows_in_order(width: int, height: int):
    bands = row_bands((width, height))
    rows = [row for _, top, _, bottom in bands for row in range(top, bottom)]
    assert rows == list(range(height))
    assert {(left, right) for left, _, right, _ in bands} == {(0, width)}
    assert max(bottom - top for _, top, _, bottom in bands) * width <= max(1_000_000, width)


def test_a_tile_may_be_larger_than_its_image(tmp_path: Path):
    """10 x 10 pixels, in a tile of 30,000 x 30,000: libtiff decodes tiles as a whole."""
    file = tmp_path / "a.tif"
    Image.new("RGB", (10, 10)).save(file)
    with open_image(file) as image:
        assert decoding_bytes(image) < 30_000_000
        image.tag_v2[322] = image.tag_v2[323] = 30_000  # type: ignore[attr-defined]
        assert decoding_bytes(image) > 30_000 * 30_000 * 3
