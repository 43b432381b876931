"""Where lines and labels of boxes are drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ymir_detectron2.evaluation.box_drawing import (
    BoxGroup,
    class_colour,
    draw_boxes,
    draw_detections,
    font_size_px,
    line_width_px,
)  # fmt: skip
from ymir_detectron2.evaluation.fonts import font_files

RED, BLUE = (255, 0, 0), (0, 0, 255)


def black(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), dtype=np.uint8)


def boxes(*rows: tuple) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def is_colour(pixels: np.ndarray, colour: tuple) -> np.ndarray:
    """(H, W) bool."""
    return (pixels == colour).all(axis=2)


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x1 y1 x2 y2, exclusive, of what is True."""
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_line_is_within_its_box_and_nothing_else_is_changed():
    image = black(40, 60)
    drawn = is_colour(draw_boxes(image, [BoxGroup(boxes((10, 5, 30, 25)), [RED], line_px=2)]), RED)
    expected = np.zeros((40, 60), dtype=bool)
    expected[5:25, 10:30] = True
    expected[7:23, 12:28] = False
    np.testing.assert_array_equal(drawn, expected)
    assert not image.any(), "it is a copy"


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((3.4, 3.4, 9.6, 9.6), (3, 3, 10, 10)),
        ((5.2, 5.2, 5.3, 9), (5, 5, 6, 9)),
        ((0, 0, 20, 20), (0, 0, 20, 20)),
        ((-5, 4, 30, 9), (0, 4, 20, 9)),
    ],
    ids=["rounded", "thinner than a pixel", "whole image", "larger than the image"],
)
def test_the_pixels_of_a_box(box: tuple, pixels: tuple):
    assert extent(is_colour(draw_boxes(black(20, 20), [BoxGroup(boxes(box), [RED], line_px=1)]), RED)) == pixels


def test_the_first_box_of_a_group_is_on_top_and_a_later_group_over_it():
    one, other = boxes((2, 2, 18, 18), (2, 2, 18, 18)), boxes((2, 2, 18, 18))
    assert is_colour(draw_boxes(black(20, 20), [BoxGroup(one, [RED, BLUE])]), RED).any()
    assert not is_colour(draw_boxes(black(20, 20), [BoxGroup(one, [RED]), BoxGroup(other, [BLUE])]), RED).any()


@pytest.mark.parametrize(
    "box", [(40, 100, 90, 150), (0, 0, 10, 10), (190, 0, 200, 10), (190, 190, 200, 200), (0, 0, 200, 200)], ids=str
)
@pytest.mark.parametrize("below", [False, True])
def test_a_label_touches_its_box_within_the_image(box: tuple, below: bool):
    """A group that has no box but labels none, so that what differs is the label."""
    group = BoxGroup(boxes(box), [RED], labels_below=below)
    plain, labelled = (draw_boxes(black(200, 200), [group._replace(labels=labels)]) for labels in ((), ("cat",)))
    x1, y1, x2, y2 = extent((plain != labelled).any(axis=2))
    height = font_size_px((200, 200)) + 4
    # the line of the box has the colour of the label, so that a part of this may not differ
    assert y2 - y1 <= height
    assert x1 <= box[2]
    assert x2 >= box[0]
    assert y2 >= (box[3] - height if below else box[1] - height)
    assert y1 <= (box[3] + height if below else box[1] + height)


def test_of_two_labels_on_one_place_the_first_is_drawn():
    place = (20, 50, 60, 90)
    alone, both = (
        draw_boxes(black(100, 100), [BoxGroup(boxes(place, place), [RED], labels)]) for labels in (("a",), ("a", "b"))
    )
    np.testing.assert_array_equal(alone, both)
    apart = draw_boxes(black(100, 100), [BoxGroup(boxes(place, (20, 20, 60, 60)), [RED], ("a", "b"))])
    assert (apart != draw_boxes(black(100, 100), [BoxGroup(boxes(place, (20, 20, 60, 60)), [RED], ("a",))])).any()


@pytest.mark.parametrize("hw", [(1, 1), (1, 3000), (3000, 1), (8, 8)])
def test_a_label_without_room_is_left_out(hw: tuple[int, int]):
    whole = boxes((0, 0, hw[1], hw[0]))
    group = BoxGroup(whole, [RED], ["a label that is too long"], line_px=1)
    np.testing.assert_array_equal(
        draw_boxes(black(*hw), [group]), draw_boxes(black(*hw), [group._replace(labels=())])
    )


@pytest.mark.skipif(len(font_files()) == 1, reason="no Chinese font is installed")
def test_chinese_names_are_drawn():
    """Two names of which only the last character differs."""
    found = (boxes((10, 50, 90, 90)), np.array([0.5]), np.array([0]))
    one, other = (draw_detections(black(100, 100), *found, [name]) for name in ("红细胞", "红细菌"))
    assert (one != other).any()


def test_detections_have_name_and_score_and_the_colour_of_their_class():
    """The better of two on one spot is labelled and on top, whatever their order."""
    both = boxes((10, 50, 90, 90), (10, 50, 90, 90))
    worse_first = draw_detections(black(100, 100), both, np.array([0.3, 0.9]), np.array([0, 1]), ["cat", "dog"])
    better_first = draw_detections(black(100, 100), both, np.array([0.9, 0.3]), np.array([1, 0]), ["cat", "dog"])
    np.testing.assert_array_equal(worse_first, better_first)
    assert is_colour(worse_first, class_colour(1)).any()
    assert not is_colour(worse_first, class_colour(0)).any()
    other_score = draw_detections(black(100, 100), both, np.array([0.8, 0.3]), np.array([1, 0]), ["cat", "dog"])
    assert (other_score != better_first).any()


def test_no_detections_change_nothing():
    nothing = draw_detections(black(10, 10), boxes(), np.zeros(0), np.zeros(0, dtype=np.int64), ["cat"])
    assert not nothing.any()


def test_classes_have_different_colours():
    """Next to each other at least a quarter of a channel apart, and no two of a hundred the same."""
    colours = [np.array(class_colour(class_id)) for class_id in range(100)]
    assert min(np.abs(one - other).max() for one, other in zip(colours, colours[1:])) > 64
    assert all((one != other).any() for one, other in itertools.combinations(colours, 2))


def test_lines_and_letters_grow_with_the_image():
    for size in (line_width_px, font_size_px):
        sizes = [size(hw) for hw in ((60, 90), (480, 640), (1080, 1920), (3000, 4000))]
        assert sizes == sorted(sizes)
        assert sizes[-1] >= 3 * sizes[0]
