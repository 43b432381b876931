"""A set with its tiles: which boxes are in which view, which are ignored, and how often a view is drawn."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import pytest

from ymir_detectron2.dataset.coco_json import IGNORED, CocoDataset
from ymir_detectron2.tile_windows import Tiling
from ymir_detectron2.training.tiled_set import with_tiles

TILES = Tiling(100, 20)
WIDE = (100, 180)
"""Height and width: two tiles, from x = 0 and from x = 80."""
Box = tuple


def set_of(*images: tuple[tuple[int, int], Sequence[Box]]) -> CocoDataset:
    """(height, width) and the boxes (x1, y1, x2, y2, class) of each image."""
    rows = np.array([box for _, boxes in images for box in boxes], dtype=np.float64).reshape(-1, 5)
    return CocoDataset(
        ("a", "b"), tuple(f"{number}.jpg" for number in range(len(images))),
        np.array([hw for hw, _ in images], dtype=np.int32),
        np.concatenate([[0], np.cumsum([len(boxes) for _, boxes in images])]), rows[:, :4].astype(np.float32),
        rows[:, 4].astype(np.int64),
    )  # fmt: skip


def cut(dataset: CocoDataset, tiling: Tiling = TILES, small: Sequence[bool] | None = None) -> CocoDataset:
    is_small = np.zeros(len(dataset.classes), dtype=bool) if small is None else np.array(small, dtype=bool)
    return with_tiles(dataset, tiling, is_small)


def views_of(dataset: CocoDataset) -> list[tuple]:
    """File, window and boxes with their classes of each view."""
    assert dataset.windows is not None
    return [
        (path, tuple(window), [(*box.tolist(), int(c)) for box, c in zip(*dataset.objects(index))])
        for index, (path, window) in enumerate(zip(dataset.image_paths, dataset.windows.tolist()))
    ]


@pytest.mark.parametrize(
    ("tiling", "images"),
    [
        (Tiling(), [((500, 500), [(0, 0, 9, 9, 0)])]),
        (TILES, [((100, 100), [(0, 0, 9, 9, 0)]), ((1, 1), []), ((7, 100), [])]),
        (TILES, []),
    ],
    ids=["no tiles", "no image is larger than a tile", "no images"],
)
def test_where_nothing_is_cut_the_set_stays_as_it_is(tiling: Tiling, images: list):
    dataset = set_of(*images)
    assert cut(dataset, tiling) is dataset


def test_whole_images_come_first_then_the_tiles_with_the_boxes_in_them():
    dataset = set_of((WIDE, [(10, 20, 30, 40, 0), (150, 0, 180, 100, 1)]), ((60, 50), [(1, 2, 3, 4, 1)]))
    found = cut(dataset)
    assert views_of(found) == [
        ("0.jpg", (0, 0, 180, 100), [(10, 20, 30, 40, 0), (150, 0, 180, 100, 1)]),
        ("1.jpg", (0, 0, 50, 60), [(1, 2, 3, 4, 1)]),
        ("0.jpg", (0, 0, 100, 100), [(10, 20, 30, 40, 0)]),
        ("0.jpg", (80, 0, 100, 100), [(70, 0, 100, 100, 1)]),
    ]
    assert found.image_hw.tolist() == [[100, 180], [60, 50], [100, 100], [100, 100]]
    assert found.class_names == ("a", "b")
    assert [column.dtype for column in found[2:6]] == [column.dtype for column in dataset[2:6]]


@pytest.mark.parametrize(
    ("box", "left", "right"),
    [
        pytest.param((85, 0, 95, 10), [(85, 0, 95, 10, 1)], [(5, 0, 15, 10, 1)], id="whole in both"),
        pytest.param((90, 0, 110, 10), [(90, 0, 100, 10, 1)], [(10, 0, 30, 10, 1)], id="half of it is an object"),
        pytest.param((91, 0, 111, 10), [(91, 0, 100, 10, IGNORED)], [(11, 0, 31, 10, 1)], id="less is ignored"),
        pytest.param((99, 0, 149, 10), [(99, 0, 100, 10, IGNORED)], [(19, 0, 69, 10, 1)], id="a piece of one pixel"),
        pytest.param((99.5, 0, 149, 10), [], [(19.5, 0, 69, 10, 1)], id="less than a pixel is not seen"),
        pytest.param((100, 0, 149, 10), [], [(20, 0, 69, 10, 1)], id="it only touches"),
        pytest.param((0, 0, 180, 100), [(0, 0, 100, 100, 1)], [(0, 0, 100, 100, 1)], id="the whole image"),
        pytest.param((4, 4, 4.25, 4.5), [(4, 4, 4.25, 4.5, 1)], [], id="smaller than a pixel, and whole"),
    ],
)
def test_a_box_at_the_edge_of_a_tile(box: tuple, left: list, right: list):
    """Shares of areas, counted by hand: tiles end at x = 100 and begin at x = 80."""
    _, *tiles = views_of(cut(set_of((WIDE, [(*box, 1)]))))
    assert [boxes for *_, boxes in tiles] == [left, right]


def test_an_object_that_no_tile_has_half_of_is_taught_in_the_whole_image():
    """A box of 300 x 300 in tiles of 100: each has a ninth of it at most."""
    found = views_of(cut(set_of(((300, 300), [(0, 0, 300, 300, 0)])), small=[True]))
    assert found[0][2] == [(0, 0, 300, 300, 0)]
    assert {box[4] for *_, boxes in found[1:] for box in boxes} == {IGNORED}


@pytest.mark.parametrize(("is_small", "class_id"), [(False, 0), (True, IGNORED)])
def test_a_box_too_small_in_the_whole_image_is_ignored_there_and_taught_in_a_tile(is_small: bool, class_id: int):
    whole, left, _ = views_of(cut(set_of((WIDE, [(10, 10, 14, 14, 0)])), small=[is_small]))
    assert whole[2] == [(10, 10, 14, 14, class_id)]
    assert left[2] == [(10, 10, 14, 14, 0)]


def test_without_tiles_of_its_own_a_small_image_teaches_its_small_boxes():
    found = views_of(cut(set_of(((50, 50), [(1, 1, 3, 3, 0)]), (WIDE, [])), small=[True]))
    assert found[0] == ("0.jpg", (0, 0, 50, 50), [(1, 1, 3, 3, 0)])


def test_a_single_row_of_pixels_is_cut():
    found = cut(set_of(((1, 250), [(120, 0, 130, 1, 0)])))
    assert [view[1:] for view in views_of(found)] == [
        ((0, 0, 250, 1), [(120, 0, 130, 1, 0)]), ((0, 0, 100, 1), []), ((80, 0, 100, 1), [(40, 0, 50, 1, 0)]),
        ((150, 0, 100, 1), []),
    ]  # fmt: skip


def test_tiles_without_objects_are_drawn_as_often_as_those_with_some():
    """16 tiles, of which 2 have an object and 1 only a piece of one: that one counts as empty."""
    dataset = set_of(((340, 340), [(5, 5, 15, 15, 0), (310, 310, 320, 320, 0), (90, 5, 112, 15, 0)]))
    found = cut(dataset)
    assert found.draws is not None
    has_object = np.array([(found.objects(index)[1] >= 0).any() for index in range(len(found))])
    assert len(found) == 1 + 16
    assert has_object[1:].sum() == 3, "the third object is in the second tile of the first row"
    assert found.draws[0] == 1
    assert (found.draws[has_object] == 1).all()
    assert found.draws[~has_object] == pytest.approx(3 / 13)
    assert found.draws.sum() == pytest.approx(1 + 2 * 3)


def test_few_empty_tiles_are_all_drawn():
    found = cut(set_of((WIDE, [(5, 5, 15, 15, 0)])))
    assert found.draws.tolist() == [1, 1, 1]


def test_of_images_without_objects_only_the_whole_is_drawn_where_no_tile_has_an_object():
    found = cut(set_of((WIDE, []), (WIDE, [])))
    assert found.draws.tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("overlap", [0, 20, 50])
def test_every_small_object_is_whole_in_a_tile_that_overlaps_its_neighbour_by_its_size(overlap: int):
    """Squares of the side of the overlap, at random places."""
    rng = np.random.default_rng(3)
    side = max(overlap, 1)
    corners = rng.integers(0, (400 - side, 300 - side), size=(200, 2))
    boxes = [(x, y, x + side, y + side, 0) for x, y in corners.tolist()]
    found = cut(set_of(((300, 400), boxes)), Tiling(100, overlap))
    in_tiles = found.boxes_xyxy[found.box_starts[1] :]
    is_whole = ((in_tiles[:, 2:] - in_tiles[:, :2]) == side).all(axis=1)
    assert is_whole.sum() >= len(boxes)
