"""Pictures on disk through a detector that finds coloured rectangles: order, parts, damaged files, bounded memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.rectangle_detector import BLUE, RED, draw, find_rectangles
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.inference import read_ahead
from ymir_detectron2.inference.parts import Tiling
from ymir_detectron2.inference.stream import BLOCK, Wanted, look_at

SMALLER = 2
"""The detector looks at pictures of half their size."""


class RectangleDetector:
    """See `Detector`. Notes how much it was given at a time."""

    class_names = ("blue", "green", "red")

    def __init__(self, parts_at_once: int = 4) -> None:
        self.parts_at_once = parts_at_once
        self.chunks: list[int] = []

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        return max(1, image_hw[0] // SMALLER), max(1, image_hw[1] // SMALLER)

    def load(self, image_bgr: np.ndarray) -> np.ndarray:
        height, width = self.network_hw(image_bgr.shape[:2])
        return cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA)

    def detect(self, pixels: list[np.ndarray]) -> list:
        self.chunks.append(len(pixels))
        return find_rectangles(pixels)

    def detect_and_read(self, pixels: list[np.ndarray], read: object) -> list:
        return [(found, read(image)) for found, image in zip(self.detect(pixels), pixels)]


def save(folder: Path, name: str, image_bgr: np.ndarray) -> Path:
    Image.fromarray(np.ascontiguousarray(image_bgr[:, :, ::-1])).save(folder / name)
    return folder / name


def boxes_of(picture) -> list[tuple]:
    found = picture.detections
    return [(*map(int, box), int(class_id)) for box, class_id in zip(found.boxes_xyxy, found.classes)]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """The n-th has a blue rectangle at x = 2n; number 3 is text, number 5 is missing."""
    paths = [
        save(tmp_path, f"{n}.png", draw((2 * n, 10, 2 * n + 20, 30, BLUE, 200), height=60 + n % 3, width=120))
        for n in range(40)
    ]
    paths[3].write_text("no picture")
    paths[5].unlink()
    return paths


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_results_come_in_input_order_with_unreadable_ones_among_them(pictures: list[Path], workers: int, at_once: int):
    looked = list(look_at(RectangleDetector(at_once), iter(pictures), num_workers=workers))
    assert [picture.path for picture in looked] == pictures
    for number, picture in enumerate(looked):
        if number in (3, 5):
            assert picture.detections is None
            assert picture.image_hw is None
            assert f"{number}.png" in str(picture.error)
        else:
            assert picture.error is None
            assert picture.image_hw == (60 + number % 3, 120)
            assert boxes_of(picture) == [(2 * number, 10, 2 * number + 20, 30, BLUE)]


def test_no_pictures():
    assert list(look_at(RectangleDetector(), [])) == []


def test_chunks_end_where_a_block_ends(pictures: list[Path]):
    """Whoever begins at a block sees the same chunks as who comes from the start: 30 readable ones, then 8."""
    detector = RectangleDetector(20)
    list(look_at(detector, pictures))
    assert detector.chunks == [20, 10, 8]
    again = RectangleDetector(20)
    list(look_at(again, pictures[BLOCK:]))
    assert again.chunks == [8]


def test_pictures_are_read_a_few_at_a_time(pictures: list[Path]):
    taken = []

    def paths():
        for path in pictures * 5:
            taken.append(path)
            yield path

    next(look_at(RectangleDetector(2), paths(), num_workers=1))
    assert len(taken) <= BLOCK + 4 + 1


def test_a_stop_is_obeyed_between_two_chunks(pictures: list[Path]):
    detector = RectangleDetector(4)
    with pytest.raises(StoppedError, match="before all pictures were looked at"):
        list(look_at(detector, pictures, stop_requested=lambda: len(detector.chunks) == 2))
    assert len(detector.chunks) == 2


@pytest.mark.parametrize("large", [False, True], ids=["read ahead", "read when its turn comes"])
def test_tiles_find_what_is_too_small_in_the_whole_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
):
    """At half the size a thin line of one pixel is too dark to be seen; in a tile of 64, shown as it is, it is not."""
    if large:
        monkeypatch.setattr(read_ahead, "LARGE", 1000)

    class ShowsTilesAsTheyAre(RectangleDetector):
        def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
            return image_hw if max(image_hw) <= 64 else super().network_hw(image_hw)

    image = draw((20, 20, 21, 60, RED, 90), (40, 40, 120, 90, BLUE, 200), height=128, width=160)
    path = save(tmp_path, "a.png", image)
    (whole,) = look_at(ShowsTilesAsTheyAre(), [path])
    assert boxes_of(whole) == [(40, 40, 120, 90, BLUE)]
    detector = ShowsTilesAsTheyAre()
    (tiled,) = look_at(detector, [path], tiling=Tiling(64, 16))
    assert sorted(boxes_of(tiled)) == [(20, 20, 21, 60, RED), (40, 40, 120, 90, BLUE)]
    assert sum(detector.chunks) == 1 + 3 * 3


def test_a_large_picture_that_breaks_off_is_counted_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(read_ahead, "LARGE", 1000)
    good, cut = (save(tmp_path, name, draw((10, 10, 40, 40, BLUE, 200))) for name in ("good.png", "cut.png"))
    cut.write_bytes(cut.read_bytes()[:200])
    looked = list(look_at(RectangleDetector(), [good, cut, good]))
    assert [picture.error is None for picture in looked] == [True, False, True]
    assert "cut.png" in str(looked[1].error)
    assert boxes_of(looked[2]) == [(10, 10, 40, 40, BLUE)]


def test_each_part_has_a_name_pixels_and_a_reading(tmp_path: Path):
    seen = []

    def values(names, parts, found, readings) -> list:
        seen.extend(zip(names, (part.shape[:2] for part in parts), map(len, found), readings))
        return [name[-2:] for name in names]

    path = save(tmp_path, "a.png", draw((10, 10, 40, 40, BLUE, 200), height=64, width=100))
    wanted = Wanted(lambda image: int(image.max()), values)
    (picture,) = look_at(RectangleDetector(), [path], tiling=Tiling(64, 0), wanted=wanted)
    assert seen == [(f"{path}", (32, 50), 1, 200), (f"{path}#2", (32, 32), 1, 200), (f"{path}#3", (32, 32), 1, 200)]
    assert picture.values == ["ng", "#2", "#3"]
