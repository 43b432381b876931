"""Boxes in other frames: turned with the pixels, scaled, rotated, relative."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.annotated_sets import marked_image
from ymir_detectron2.label_geometry import (
    Corners,
    FrameMatch,
    are_relative,
    inclusive_pixels,
    match_frame,
    polygon_envelope,
    rotated_envelope,
    to_upright,
)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_box_turns_with_its_pixels(tmp_path: Path, orientation: int):
    path = marked_image(tmp_path / "a.png", (20, 10, 61, 51), (96, 64), orientation=orientation)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    rows, columns = np.nonzero(upright == 255)
    assert upright.shape == (96, 64)
    match = match_frame((96, 64), (96, 64), orientation)
    assert match == FrameMatch(turned=True)
    turned = to_upright((20, 10, 62, 52), match, (96, 64), orientation)
    assert turned == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize(
    ("stated", "stored", "orientation", "match"),
    [
        pytest.param((96, 64), (96, 64), 1, FrameMatch(), id="equal"),
        pytest.param((64, 96), (96, 64), 6, FrameMatch(), id="upright"),
        pytest.param((96, 64), (96, 64), 6, FrameMatch(turned=True), id="stored"),
        pytest.param((96, 64), (96, 64), 3, FrameMatch(), id="upside down: both have one size"),
        pytest.param((64, 64), (64, 64), 6, FrameMatch(), id="a square: both have one size"),
        pytest.param((192, 128), (96, 64), 1, FrameMatch(0.5, 0.5), id="made smaller"),
        pytest.param((48, 32), (96, 64), 1, FrameMatch(2.0, 2.0), id="made larger"),
        pytest.param((192, 128), (96, 64), 6, FrameMatch(0.5, 0.5, turned=True), id="smaller, and stored"),
        pytest.param((128, 192), (96, 64), 8, FrameMatch(0.5, 0.5), id="smaller, and upright"),
        pytest.param((4000, 3000), (1333, 1000), 1, FrameMatch(1333 / 4000, 1 / 3), id="rounded to pixels"),
        pytest.param((100, 67), (3000, 2000), 1, FrameMatch(30.0, 2000 / 67), id="rounded in the smaller one"),
        pytest.param((64, 96), (96, 64), 1, None, id="sides swapped, and nothing in the file that says so"),
        pytest.param((128, 128), (96, 64), 1, None, id="another ratio"),
        pytest.param((640, 480), (1920, 1080), 1, None, id="another camera"),
        pytest.param((640, 640), (1920, 1080), 1, None, id="stretched to a square"),
    ],
)
def test_stated_sizes(stated: tuple[int, int], stored: tuple[int, int], orientation: int, match: FrameMatch | None):
    assert match_frame(stated, stored, orientation) == match


def test_scales_come_before_the_turn():
    # in 192x128: the left half, upper half; stored in half the size and shown turned clockwise: on top, to the right
    corners = to_upright((0, 0, 96, 64), FrameMatch(0.5, 0.5, turned=True), (96, 64), 6)
    assert corners == (32, 0, 64, 48)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(0, (10, 25, 80, 35)), (90, (40, -5, 50, 65)), (180, (10, 25, 80, 35)), (-90, (40, -5, 50, 65))],
)
def test_the_rectangle_around_a_rotated_box(degrees: float, expected: Corners):
    assert rotated_envelope((10, 25, 80, 35), math.radians(degrees)) == pytest.approx(expected)


def test_a_square_on_its_corner_is_wider_by_the_root_of_two():
    side = math.sqrt(2)
    assert rotated_envelope((-1, -1, 1, 1), math.pi / 4) == pytest.approx((-side, -side, side, side))


def test_polygons_become_the_rectangle_around_them():
    assert polygon_envelope([3, 9, 1, 4, 7, 5]) == (1, 4, 7, 9)


@pytest.mark.parametrize(
    ("boxes", "relative"),
    [
        ([(0.2, 0.1, 0.6, 0.8), (0, 0, 1, 1)], True),
        ([(0.2, 0.1, 0.6, 0.8), (5, 5, 9, 9)], False),
        ([(0, 0, 1, 1)], False),  # a box of one pixel may be
        ([(0.2, 0.1, 1.5, 0.8)], False), ([(-0.1, 0.1, 0.5, 0.8)], False), ([], False),
    ],
)  # fmt: skip
def test_relative_corners_are_told_from_pixels_by_the_whole_set(boxes: list[Corners], relative: bool):
    assert are_relative(boxes) is relative


def test_halves_are_rounded_up_and_edges_stay_shared():
    left, right = inclusive_pixels((0.5, 2.5, 1.6, 7.49)), inclusive_pixels((1.6, 0, 4.5, 9))
    assert (left, right) == ((1, 3, 1, 6), (2, 0, 4, 8))
