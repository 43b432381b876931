"""`tile_size: auto` as a table: sizes of boxes and images, and what is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.tile_windows import Tiling
from ymir_detectron2.training.tile_choice import InputSize, TileChoice, choose_tile_size

NETWORK = InputSize(320, 640, 16.0)


def choose(
    sides: list[float], image_hw: tuple[int, int] = (960, 1280), network: InputSize = NETWORK, images: int = 1
) -> TileChoice:
    """Squares of these sides in images of one size."""
    boxes = np.array([(0.0, 0.0, side, side) for side in sides], dtype=np.float32).reshape(-1, 4)
    hw = np.tile(np.array(image_hw, dtype=np.int32), (len(sides), 1))
    return choose_tile_size(boxes, hw, hw[:images], network)


@pytest.mark.parametrize(
    ("sides", "image_hw", "network", "expected"),
    [
        pytest.param([48.0], (960, 1280), NETWORK, 0, id="16 px when the image is a third of its size: enough"),
        pytest.param([47.0], (960, 1280), NETWORK, 928, id="a little less: 320 * 47 / 16 = 940"),
        pytest.param([24.0], (960, 1280), NETWORK, 480, id="320 * 24 / 16 = 480"),
        pytest.param([10.0], (960, 1280), NETWORK, 256, id="192 would be 54 tiles, 224 are 42, 256 are 30"),
        pytest.param([10.0], (640, 640), NETWORK, 192, id="320 * 10 / 16 = 200: 16 tiles"),
        pytest.param([8.0], (640, 640), NETWORK, 160, id="tiles are enlarged twice at most"),
        pytest.param([6.0], (640, 640), NETWORK, 160, id="twice, though 16 px are not reached"),
        pytest.param([3.0], (640, 640), NETWORK, 0, id="6 px even if enlarged twice"),
        pytest.param([2.0] * 2 + [60.0] * 8, (960, 1280), NETWORK, 0, id="a fifth is too small for any tile"),
        pytest.param([10.0] + [60.0] * 19, (960, 1280), NETWORK, 0, id="one of twenty is no reason"),
        pytest.param([10.0] * 3 + [60.0] * 17, (960, 1280), NETWORK, 256, id="three of twenty are"),
        pytest.param([10.0], (320, 320), NETWORK, 0, id="images are not made smaller: image_size is the remedy"),
        pytest.param([10.0], (200, 250), NETWORK, 0, id="images are enlarged already"),
        pytest.param([15.9], (330, 330), NETWORK, 288, id="hardly larger than a tile"),
        pytest.param([10.0], (100, 8000), NETWORK, 320, id="a strip: 288 px would be 34 tiles, 320 px are 31"),
        pytest.param([40.0], (12000, 12000), NETWORK, 0, id="32 tiles are too few for a huge scan"),
        pytest.param([], (960, 1280), NETWORK, 0, id="no boxes"),
        pytest.param([10.0], (960, 1280), InputSize(0, 640, 16.0), 0, id="images keep their size"),
        pytest.param([20.0], (3000, 4000), InputSize(800, 1333, 22.6), 800, id="704 = 800 * 20 / 22.6 is 42 tiles"),
    ],
)  # fmt: skip
def test_choice(sides: list[float], image_hw: tuple[int, int], network: InputSize, expected: int):
    assert choose(sides, image_hw, network).size == expected


def test_the_reason_has_the_sizes_before_and_after():
    choice = choose([24.0])
    assert choice.reason.startswith("a tenth of the training boxes is below 8.0 px at the size of the network")
    assert "16.0 px in such tiles" in choice.reason
    assert "raise image_size" in choose([10.0], (320, 320)).reason


def test_the_size_of_a_box_is_the_root_of_its_area():
    square, flat = (np.array([[0, 0, *wh]], dtype=np.float32) for wh in ((24, 24), (96, 6)))
    hw = np.array([[960, 1280]])
    assert choose_tile_size(square, hw, hw, NETWORK) == choose_tile_size(flat, hw, hw, NETWORK)


@pytest.mark.parametrize("edge", [64, 200, 320, 800, 1333])
def test_what_tiles_cost_and_how_much_they_enlarge_is_bounded(edge: int):
    rng = np.random.default_rng(edge)
    chosen = []
    for _ in range(60):
        image_hw = tuple(rng.integers(40, 4000, 2).tolist())
        sides = rng.uniform(2, 60, size=int(rng.integers(1, 30))).tolist()
        size = choose(sides, image_hw, InputSize(edge, 2 * edge, 16.0)).size
        chosen.append(size)
        assert size % 32 == 0
        if size:
            assert 2 * size >= edge
            assert size < max(image_hw)
            assert len(Tiling.of_size(size).windows(image_hw)) - 1 <= 32
    assert any(chosen)
    assert not all(chosen)
