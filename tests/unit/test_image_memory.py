"""What decoding is estimated to need is at least what it needs, by the peak of a process that does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.running import PROJECT_DIR
from ymir_detectron2.dataset.image_memory import decoding_bytes
from ymir_detectron2.dataset.image_reading import open_image

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


def test_a_tile_may_be_larger_than_its_image(tmp_path: Path):
    """10 x 10 pixels, in a tile of 30,000 x 30,000: libtiff decodes tiles as a whole."""
    file = tmp_path / "a.tif"
    Image.new("RGB", (10, 10)).save(file)
    with open_image(file) as image:
        assert decoding_bytes(image) < 30_000_000
        image.tag_v2[322] = image.tag_v2[323] = 30_000  # type: ignore[attr-defined]
        assert decoding_bytes(image) > 30_000 * 30_000 * 3
