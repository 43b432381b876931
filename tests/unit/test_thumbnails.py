"""Thumbnails: upright, small enough whatever the image holds, and grey where it is gone."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_image
from ymir_detectron2.results.thumbnails import GONE, Thumbnail, make_thumbnails


def decoded(thumbnail: Thumbnail) -> Image.Image:
    kind, _, text = thumbnail.uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_a_thumbnail_is_upright_and_knows_the_size_of_its_image(tmp_path: Path):
    image = draw_image(tmp_path / "a.jpg", [("brick", 0, 0, 299, 99)], wh=(600, 900), orientation=6)
    (thumbnail,) = make_thumbnails([image.path], budget_bytes=100_000)
    small = decoded(thumbnail)
    assert (thumbnail.width, thumbnail.height) == (600, 900)
    assert small.size == (320, 480)
    assert small.getpixel((40, 20))[0] > 170, "the red rectangle is in the upper left corner"
    assert small.getpixel((40, 400))[0] < 140


def test_a_small_image_keeps_its_size(tmp_path: Path):
    (thumbnail,) = make_thumbnails([draw_image(tmp_path / "a.png", wh=(60, 40)).path], budget_bytes=100_000)
    assert decoded(thumbnail).size == (thumbnail.width, thumbnail.height) == (60, 40)


@pytest.mark.parametrize("budget_bytes", [2_000_000, 100_000, 20_000, 4_000, 100])
def test_all_together_stay_within_the_budget(tmp_path: Path, budget_bytes: int):
    """Noise, which no encoder makes small."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (500, 700, 3), dtype=np.uint8)).save(path)
    thumbnails = make_thumbnails(paths, budget_bytes=budget_bytes)
    assert sum(len(one.uri) for one in thumbnails) <= budget_bytes
    assert [(one.width, one.height) for one in thumbnails] == [(700, 500)] * 4
    assert all(one.uri for one in thumbnails) == (budget_bytes > 1000)
    assert thumbnails == make_thumbnails(paths, budget_bytes=budget_bytes)


def test_what_is_gone_or_no_image_has_no_thumbnail(tmp_path: Path):
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "fifo.jpg")
    names = ["text.jpg", "folder.jpg", "fifo.jpg", "gone.jpg", "a" * 300]
    assert make_thumbnails([None, *(tmp_path / name for name in names)], budget_bytes=100_000) == [GONE] * 6
    assert make_thumbnails([], budget_bytes=100_000) == []
