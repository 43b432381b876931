"""Images read ahead of the network: in order, a bounded number at a time, unreadable ones among them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from PIL import Image

from ymir_detectron2.dataset.image_reading import DEEP
from ymir_detectron2.inference import prefetch
from ymir_detectron2.inference.prefetch import IN_MEMORY, prefetch_images
from ymir_detectron2.inference.tiling import Tile, Window


def whole(image_bgr: np.ndarray) -> Iterator[Tile]:
    """One tile: the image as it is."""
    height, width = image_bgr.shape[:2]
    yield Tile(Window(0, 0, width, height), image_bgr)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Twelve grey images, the n-th 10 + n pixels wide; number 4 is not an image."""
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for number, path in enumerate(paths):
        Image.new("RGB", (10 + number, 8), (number, number, number)).save(path)
    paths[4].write_text("no image")
    return paths


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (3, 5), (2, 100)])
def test_images_come_in_the_order_of_their_paths(paths: list[Path], workers: int, ahead: int):
    images = list(prefetch_images(paths, whole, workers=workers, ahead=ahead))
    assert [image.path for image in images] == paths
    assert [image.image_hw for image in images] == [None if n == 4 else (8, 10 + n) for n in range(12)]
    assert [image.error is not None for image in images] == [n == 4 for n in range(12)]
    assert [[int(tile.pixels.max()) for tile in image.tiles] for image in images] == [
        [] if n == 4 else [n] for n in range(12)
    ]


def test_no_more_paths_are_taken_than_asked_for(paths: list[Path]):
    taken = []

    def lazily() -> Iterator[Path]:
        for path in paths:
            taken.append(path)
            yield path

    images = prefetch_images(lazily(), whole, workers=2, ahead=3)
    next(images)
    assert len(taken) == 4, "the one that was returned, and three ahead"
    images.close()


@pytest.mark.parametrize("large", [False, True])
def test_findings_of_a_file_come_with_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool):
    monkeypatch.setattr(prefetch, "LARGE", 8 if large else prefetch.LARGE)
    path = tmp_path / "grey.png"
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(path)
    (image,) = prefetch_images([path], whole, workers=1, ahead=1)
    assert image.findings == (DEEP,)
    assert [int(tile.pixels.max()) for tile in image.tiles] == [255]


@pytest.mark.parametrize("large", [False, True])
def test_only_a_large_image_is_decoded_in_the_thread_of_the_caller(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, large: bool
):
    if large:
        monkeypatch.setattr(prefetch, "LARGE", 8)
    threads = []

    def cut(image_bgr: np.ndarray) -> Iterator[Tile]:
        threads.append(threading.current_thread().name)
        yield from whole(image_bgr)

    (image,) = prefetch_images(paths[:1], cut, workers=1, ahead=1)
    assert len(list(image.tiles)) == 1
    assert [name.startswith("read") for name in threads] == [not large]


@pytest.mark.parametrize("large", [False, True])
def test_images_in_memory_come_in_order_with_those_of_files(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, large: bool
):
    monkeypatch.setattr(prefetch, "LARGE", 8 if large else prefetch.LARGE)
    sources = [paths[0], np.full((5, 7, 3), 200, dtype=np.uint8), paths[4], np.full((7, 5, 3), 100, dtype=np.uint8)]
    images = list(prefetch_images(sources, whole, workers=2, ahead=2))
    assert [image.path for image in images] == [paths[0], IN_MEMORY, paths[4], IN_MEMORY]
    assert [image.image_hw for image in images] == [(8, 10), (5, 7), None, (7, 5)]
    assert [[int(tile.pixels.max()) for tile in image.tiles] for image in images] == [[0], [200], [], [100]]
