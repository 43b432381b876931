"""Which tiles an image is cut into, and how a model and the keys of a task say so."""

from __future__ import annotations

from typing import Any

import pytest

from ymir_detectron2.tile_windows import Tiling, Window


@pytest.mark.parametrize(
    ("image_hw", "tiling", "windows"),
    [
        pytest.param((100, 200), Tiling(), [(0, 0, 200, 100)], id="no tiles"),
        pytest.param((100, 200), Tiling(200, 40), [(0, 0, 200, 100)], id="no larger than a tile"),
        pytest.param((1, 1), Tiling(100, 20), [(0, 0, 1, 1)], id="one pixel"),
        pytest.param(
            (100, 200), Tiling(100, 0), [(0, 0, 200, 100), (0, 0, 100, 100), (100, 0, 100, 100)], id="no overlap"
        ),
        pytest.param(
            (100, 201), Tiling(100, 0), [(0, 0, 201, 100), (0, 0, 100, 100), (100, 0, 100, 100), (101, 0, 100, 100)],
            id="the last one is moved inside",
        ),
        pytest.param(
            (60, 160), Tiling(100, 20), [(0, 0, 160, 60), (0, 0, 100, 60), (60, 0, 100, 60)], id="lower than a tile"
        ),
        pytest.param(
            (150, 150), Tiling(100, 50),
            [(0, 0, 150, 150), (0, 0, 100, 100), (50, 0, 100, 100), (0, 50, 100, 100), (50, 50, 100, 100)],
            id="both ways",
        ),
    ],
)  # fmt: skip
def test_windows(image_hw: tuple[int, int], tiling: Tiling, windows: list):
    assert [tuple(window) for window in tiling.windows(image_hw)] == windows


@pytest.mark.parametrize("side", [101, 163, 1000, 4321])
@pytest.mark.parametrize(("size", "overlap"), [(100, 20), (64, 0), (64, 32), (100, 1)])
def test_tiles_cover_every_pixel_and_overlap_enough(side: int, size: int, overlap: int):
    starts = [window.x for window in Tiling(size, overlap).windows((size, side))[1:]]
    assert starts[0] == 0
    assert starts[-1] + size == side
    assert all(0 < later - earlier <= size - overlap for earlier, later in zip(starts, starts[1:]))


def test_tiles_share_a_fifth_unless_stated_otherwise():
    assert Tiling.of_size(100) == Tiling(100, 20)
    assert Tiling.of_size(100, 30) == Tiling(100, 30)
    assert Tiling.of_size(0).windows((500, 500)) == [Window(0, 0, 500, 500)]


def test_a_checkpoint_keeps_its_tiles():
    for tiling in (Tiling(), Tiling(640, 128), Tiling(33, 0)):
        assert Tiling.of_checkpoint({"class_names": ["a"], **tiling.as_metadata()}) == tiling


@pytest.mark.parametrize(
    "metadata",
    [
        {}, {"tile_size": 640}, {"tile_size": "640", "tile_overlap": 0}, {"tile_size": 640.0, "tile_overlap": 0},
        {"tile_size": True, "tile_overlap": False}, {"tile_size": 31, "tile_overlap": 0},
        {"tile_size": -640, "tile_overlap": 0}, {"tile_size": 640, "tile_overlap": 321},
        {"tile_size": 640, "tile_overlap": -1}, {"tile_size": [640], "tile_overlap": {}},
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_program_has_no_tiles(metadata: dict[str, Any]):
    """An overlap of the whole tile would never come to the end of an image."""
    assert Tiling.of_checkpoint(metadata) == Tiling()


@pytest.mark.parametrize(
    ("tile_size", "tile_overlap", "expected"),
    [(0, 0, Tiling(640, 99)), ("none", 0, Tiling()), (100, 0, Tiling(100, 20)), (100, 30, Tiling(100, 30))],
)
def test_zero_is_as_the_model_was_trained_and_none_is_no_tiles(tile_size: Any, tile_overlap: int, expected: Tiling):
    assert Tiling.of_keys(tile_size, tile_overlap, Tiling(640, 99)) == expected
