"""Images of more than 8 bits per channel: stretched to 8 by one rule, whatever format and byte order they have."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.deep_images import png, tiff
from ymir_detectron2.dataset.bit_depth import stretch_limits, stretch_to_uint8
from ymir_detectron2.dataset.image_reading import DEEP, read_image_bgr, read_image_frame

RAMP = np.arange(100 * 200, dtype=np.uint16).reshape(100, 200) % 4096
"""12 bits of grey, as thermal cameras write them."""
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
STRETCHED = np.rint(RAMP * (255 / 4095)).astype(np.uint8)


GREY, ALPHA = RAMP[:, :, None], np.full((100, 200, 1), 60_000, dtype=np.uint16)
WITH_NAN = np.where(GREY == 5, np.float32("nan"), GREY / np.float32(4095))
WITH_INFINITY = np.where(GREY == 4095, np.float32("inf"), GREY)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(png(GREY, 0), STRETCHED, id="png, grey"),
        pytest.param(png(np.concatenate([GREY, ALPHA], axis=2), 4), STRETCHED, id="png, grey with transparency"),
        pytest.param(png(COLOURS, 2), None, id="png, colour"),
        pytest.param(png(np.concatenate([COLOURS, ALPHA], axis=2), 6), None, id="png, colour with transparency"),
        pytest.param(tiff(GREY, photometric=1), STRETCHED, id="tiff, grey"),
        pytest.param(tiff(GREY, photometric=1, byte_order=">"), STRETCHED, id="tiff, grey, big endian"),
        pytest.param(tiff(4095 - GREY, photometric=0), STRETCHED, id="tiff, 0 is white"),
        pytest.param(tiff(COLOURS, photometric=2), None, id="tiff, colour"),
        pytest.param(tiff(COLOURS, photometric=2, byte_order=">"), None, id="tiff, colour, big endian"),
        pytest.param(tiff(GREY.astype(np.int16) - 2000, photometric=1), STRETCHED, id="tiff, negative numbers"),
        pytest.param(tiff(GREY.astype(np.int32) * 500_000, photometric=1), STRETCHED, id="tiff, 32 bits"),
        pytest.param(tiff(GREY / np.float32(4095), photometric=1), STRETCHED, id="tiff, floats from 0 to 1"),
        pytest.param(tiff(GREY.astype(np.float32) - 273, photometric=1), STRETCHED, id="tiff, degrees"),
        pytest.param(tiff(WITH_NAN, photometric=1), np.where(RAMP == 5, 0, STRETCHED), id="tiff, NaN"),
    ],
)
def test_the_range_of_an_image_becomes_that_of_8_bits(tmp_path: Path, content: bytes, expected: np.ndarray | None):
    """12 of 16 bits were a sixteenth as bright, floats were black."""
    path = tmp_path / "image"
    path.write_bytes(content)
    if expected is None:
        rgb = [STRETCHED, STRETCHED[::-1], STRETCHED[:, ::-1]]
        np.testing.assert_array_equal(read_image_bgr(path), np.stack(rgb[::-1], axis=2))
    else:
        # within a level: a float is not exactly the fraction
        gap = np.abs(read_image_bgr(path).astype(int) - expected[:, :, None])
        assert gap.max() <= (1 if expected.dtype != np.uint8 or b"II" in content[:2] else 0)
    assert read_image_frame(path).findings == (DEEP,)


def test_colours_keep_their_ratio(tmp_path: Path):
    """Each channel stretched by itself would turn a red image grey."""
    red = np.zeros((64, 64, 3), dtype=np.uint16)
    red[:, :, 0] = np.arange(64) * 60
    red[:, :, 1] = np.arange(64) * 6
    path = tmp_path / "red.png"
    path.write_bytes(png(red, 2))
    brightest = read_image_bgr(path)[0, -1].tolist()
    assert brightest == [0, 26, 255]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        *((np.full(3, 7, dtype), [0, 0, 0]) for dtype in (np.uint16, np.int32, np.float32)),
        *((np.array([100, 300, 200], dtype), [0, 255, 128]) for dtype in (np.uint16, np.int32, np.float32)),
        (np.array([0, 65535, 1], np.uint16), [0, 255, 0]),
        (np.array([-(2**31), 2**31 - 1], np.int32), [0, 255]),
        (np.array([-3e38, 0, 3e38], np.float32), [0, 128, 255]),
        (np.array([np.nan, np.nan], np.float32), [0, 0]),
        (np.array([-np.inf, 1, 2, np.inf, np.nan], np.float32), [0, 0, 255, 255, 0]),
    ],
)
def test_the_rule(array: np.ndarray, expected: list[int]):
    assert stretch_to_uint8(array, stretch_limits([array])).tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_hot_and_dead_pixels_do_not_count(dtype: type):
    samples = np.tile(np.arange(1000, 1200, dtype=dtype), 200)  # 40,000, of which four at each end may be anything
    samples[:4], samples[-4:] = 0, 60_000
    limits = stretch_limits([samples[:9], samples[9:]])
    assert limits == (1000.0, 1199.0)
    assert stretch_to_uint8(samples, limits)[[0, 100, -1]].tolist() == [0, 128, 255]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_small_object_on_an_even_ground_is_not_lost(dtype: type):
    samples = np.full(100_000, 500, dtype=dtype)
    samples[7] = 900
    assert stretch_to_uint8(samples, stretch_limits([samples])).max() == 255


def test_an_image_of_many_bands_is_stretched_as_one(tmp_path: Path):
    """Bands save memory; a step of brightness between two would be an edge."""
    grey = np.repeat(np.arange(1200, dtype=np.uint16)[:, None], 1000, axis=1)
    path = tmp_path / "grey.png"
    Image.fromarray(grey).save(path)
    rows = read_image_bgr(path)[:, 0, 0].astype(int)
    assert (rows[0], rows[-1]) == (0, 255)
    assert np.abs(np.diff(rows)).max() <= 1


def test_8_bits_stay_as_they_are(tmp_path: Path):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 50, dtype=np.uint8)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    assert read_image_bgr(tmp_path / "a.png").max() == 50
    assert read_image_frame(tmp_path / "a.png").findings == ()
