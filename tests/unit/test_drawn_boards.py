"""Drawn circuit boards: their defects are where their boxes say, and of the kind that they say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.drawn_boards import CLASS_NAMES, SIDE, draw_boards
from ymir_detectron2.sources.labelled_image import AnnotatedImage

COUNT = 60


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedImage]:
    return draw_boards(tmp_path_factory.mktemp("boards"), COUNT, seed=3)


def read_grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L")).astype(int)


def test_same_seed_same_boards_and_a_longer_set_begins_with_the_shorter(tmp_path: Path) -> None:
    short, long = draw_boards(tmp_path / "a", 2, seed=1), draw_boards(tmp_path / "b", 4, seed=1)
    assert [board.boxes for board in short] == [board.boxes for board in long[:2]]
    assert [board.path.read_bytes() for board in short] == [board.path.read_bytes() for board in long[:2]]
    assert short[0].path.read_bytes() != draw_boards(tmp_path / "c", 1, seed=2)[0].path.read_bytes()


def test_three_of_four_boards_have_defects_of_every_kind(boards: list[AnnotatedImage]) -> None:
    """45 of 60, with a standard deviation of 3.4."""
    assert 33 <= sum(bool(board.boxes) for board in boards) <= 57
    found = Counter(box[0] for board in boards for box in board.boxes)
    assert set(found) == set(CLASS_NAMES)
    assert min(found.values()) >= 5
    assert max(len(board.boxes) for board in boards) <= 8


def test_boxes_are_in_the_image_and_of_the_size_of_defects(boards: list[AnnotatedImage]) -> None:
    for board in boards:
        for _, x1, y1, x2, y2 in board.boxes:
            assert 0 <= x1 < x2 < SIDE
            assert 0 <= y1 < y2 < SIDE
            assert max(x2 - x1, y2 - y1) < 60


@pytest.mark.parametrize(("class_name", "around_is_bright"), [("copper", True), ("pin_hole", False)])
def test_spots_differ_from_all_that_is_around_them(
    boards: list[AnnotatedImage], class_name: str, around_is_bright: bool
) -> None:
    """Copper is dark, and lies on bare board; a hole is bright, and lies in copper."""
    checked = 0
    for board in boards:
        grey = read_grey(board.path)
        for name, x1, y1, x2, y2 in board.boxes:
            if name == class_name:
                box = grey[y1 : y2 + 1, x1 : x2 + 1]
                border = [*box[0], *box[-1], *box[:, 0], *box[:, -1]]
                middle = grey[(y1 + y2) // 2, (x1 + x2) // 2]
                assert (np.mean(border) > 128) == around_is_bright
                assert (middle > 128) != around_is_bright
                checked += 1
    assert checked >= 5
