"""CALD's augmentations: the peers' numbers, boxes that stay on their objects, and the smallest images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ymir_detectron2.box_geometry import pairwise_iou
from ymir_detectron2.mining.augmentations import (
    AUGMENTATIONS,
    covered_fractions,
    cutout,
    find_holes,
    flip,
    flip_boxes,
    resize,
    rotate,
    rotate_boxes,
    rotation_matrix,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mining.json").read_text(encoding="utf-8"))
BOXES = np.array(GOLDEN["boxes_in"])
EACH = pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda augmentation: augmentation.name)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def image(height: int, width: int, box=None) -> np.ndarray:
    """A black image with one white rectangle."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    if box is not None:
        x1, y1, x2, y2 = box
        image[y1:y2, x1:x2] = 255
    return image


def white_box(image: np.ndarray) -> list:
    """Where the white rectangle is: x1 y1 x2 y2 around all pixels that are more white than black."""
    ys, xs = np.nonzero(image[:, :, 0] > 127)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@pytest.mark.parametrize(("height", "width"), [(100, 200), (200, 100), (480, 640), (640, 480)])
def test_rotation_matrix_equals_the_peers(height, width):
    """They pass through float32: 1e-6 of an entry is what that leaves, 1.4e-5 pixels in the worst one."""
    golden = np.array(GOLDEN[f"rotate_T_h{height}_w{width}"])
    matrix = rotation_matrix(height, width, 5.0)
    assert matrix == pytest.approx(golden, rel=1e-6)
    assert matrix == pytest.approx(golden, abs=1.5e-5)


def test_rotated_boxes_equal_the_peers():
    golden = np.array(GOLDEN["rotate5_boxes_h100_w200_float"])
    assert rotate_boxes(BOXES, rotation_matrix(100, 200, 5.0)) == pytest.approx(golden, abs=1e-5)
    assert rotate(image(100, 200), BOXES, rng())[1] == pytest.approx(golden, abs=1e-5)


def test_flipped_boxes_equal_the_peers():
    assert flip(image(100, 200), BOXES, rng())[1].tolist() == GOLDEN["flip_boxes_w200"]


def test_boxes_of_the_smaller_image_equal_the_peers():
    """The image is really smaller, where theirs keeps the old canvas."""
    augmented, boxes = resize(image(100, 200), BOXES, rng())
    assert augmented.shape == (80, 160, 3)
    assert boxes == pytest.approx(np.array(GOLDEN["resize0.8_boxes"]), abs=1e-12)


@pytest.mark.parametrize(("height", "width"), [(97, 131), (131, 97), (64, 64)])
@pytest.mark.parametrize("augment", [flip, resize], ids=["flip", "resize"])
def test_upright_boxes_stay_on_their_objects(augment, height, width):
    box = [11, 23, 57, 61]
    augmented, boxes = augment(image(height, width, box), np.array([box]), rng())
    assert boxes[0] == pytest.approx(white_box(augmented), abs=0.6)


@pytest.mark.parametrize(("height", "width"), [(97, 131), (131, 97), (64, 64)])
def test_rotated_box_is_around_its_object(height, width):
    """The box is around the corners of the old box: half a pixel for the grid, half for the blurred edge."""
    box = [20, 23, 57, 55]
    augmented, boxes = rotate(image(height, width, box), np.array([box]), rng())
    assert boxes[0] == pytest.approx(white_box(augmented), abs=1.0)


def test_box_that_leaves_the_image_is_clamped():
    """The upper left corner of 640 x 480 goes to x = -19.7, y = 28.8."""
    corner = np.array([[0, 0, 10, 10]])
    assert rotate_boxes(corner, rotation_matrix(480, 640, 5.0))[0, 2] < 0
    augmented, boxes = rotate(image(480, 640), corner, rng())
    assert augmented.shape == (480, 640, 3)
    assert boxes[0, [0, 2]].tolist() == [0.0, 0.0]


def test_flip_twice_is_the_same_image():
    image = rng().integers(0, 256, size=(7, 5, 3), dtype=np.uint8)
    augmented, boxes = flip(*flip(image, np.array([[1, 2, 3, 4]]), rng()), rng())
    assert np.array_equal(augmented, image)
    assert boxes.tolist() == [[1, 2, 3, 4]]
    assert flip_boxes(np.zeros((0, 4)), 5).shape == (0, 4)


@pytest.mark.parametrize(
    ("hole", "box", "expected"),
    [
        pytest.param([0, 0, 5, 10], [0, 0, 10, 10], 0.5, id="50 / 100"),
        pytest.param([8, 8, 20, 20], [0, 0, 10, 10], 0.04, id="2 * 2 / 100"),
        pytest.param([10, 0, 20, 10], [0, 0, 10, 10], 0.0, id="next to it"),
        pytest.param([0, 0, 9, 9], [3, 3, 3, 8], 0.0, id="box without area"),
        pytest.param([4, 4, 4, 9], [0, 0, 10, 10], 0.0, id="empty hole"),
    ],
)
def test_covered_fraction_by_hand(hole, box, expected):
    assert covered_fractions(np.array([hole]), np.array([box])).tolist() == [pytest.approx([expected])]


@pytest.mark.parametrize("seed", range(30))
def test_holes_cover_a_part_of_a_box_but_not_most_of_it(seed):
    """One hole covers 0.1 to 0.4 of the box, so two cover 0.1 to 0.8; each is at most 0.2 x 0.2 of the image."""
    image, box = np.full((100, 120, 3), 255, dtype=np.uint8), [40, 30, 70, 60]
    augmented, boxes = cutout(image, np.array([box]), rng(seed))
    black = (augmented == 0).all(axis=2)
    assert boxes.tolist() == [box]
    assert 0.1 <= black[30:60, 40:70].mean() <= 0.8
    assert black.sum() <= 2 * (21 * 25)


def test_holes_are_those_of_the_random_numbers():
    image, boxes = np.full((100, 120, 3), 255, dtype=np.uint8), np.array([[40, 30, 70, 60]])
    first, again, other = (cutout(image, boxes, rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_first_two_holes_that_fit_are_cut():
    """Drawn one number after the other: height and width as shares from .05 to .2, then the place."""
    box, numbers = np.array([[40, 30, 70, 60]]), rng(4)
    expected = []
    while len(expected) < 2:
        high, wide = numbers.uniform(0.05, 0.2) * 100, numbers.uniform(0.05, 0.2) * 120
        top, left = numbers.uniform(0, 100 - high), numbers.uniform(0, 120 - wide)
        hole = (int(left), int(top), int(left + wide), int(top + high))
        if 0.1 <= covered_fractions(np.array([hole]), box)[0, 0] <= 0.4:
            expected.append(hole)
    assert find_holes(100, 120, box, rng(4)) == expected
    assert find_holes(100, 120, np.zeros((0, 4)), rng(4)) == []


def test_hole_that_fits_no_box_is_not_cut():
    """A box over the whole image: no hole of 0.2 x 0.2 = 0.04 of it covers a tenth."""
    image = np.full((50, 50, 3), 255, dtype=np.uint8)
    assert cutout(image, np.array([[0, 0, 50, 50]]), rng())[0] is image


@EACH
def test_image_without_boxes_stays_without_boxes(augmentation):
    plain = image(30, 40, [5, 5, 10, 10])
    augmented, boxes = augmentation.apply(plain, np.zeros((0, 4), dtype=np.float32), rng())
    assert boxes.shape == (0, 4)
    assert augmented.dtype == np.uint8
    assert augmented.ndim == 3
    if augmentation.name == "cutout":
        assert augmented is plain


@EACH
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_smallest_images_can_be_augmented(augmentation, height, width):
    image = np.full((height, width, 3), 200, dtype=np.uint8)
    augmented, boxes = augmentation.apply(image, np.array([[0, 0, width, height]], dtype=np.float32), rng())
    assert min(augmented.shape[:2]) >= 1
    assert augmented.shape[2] == 3
    assert np.isfinite(boxes).all()
    assert (boxes >= 0).all()
    assert (boxes[:, [2, 3]] <= [augmented.shape[1], augmented.shape[0]]).all()


@EACH
def test_augmented_images_are_contiguous_and_leave_the_image_as_it_was(augmentation):
    """They go to torch.from_numpy, which refuses negative strides."""
    image = np.full((60, 80, 3), 255, dtype=np.uint8)
    boxes = np.array([[20, 20, 40, 40]], dtype=np.float32)
    before = image.copy(), boxes.copy()
    image.setflags(write=False)
    augmented, _ = augmentation.apply(image, boxes, rng())
    assert augmented.flags.c_contiguous
    assert np.array_equal(image, before[0])
    assert np.array_equal(boxes, before[1])


@EACH
def test_a_box_carried_back_has_the_same_iou_with_its_reference(augmentation):
    """And lies where it lay: the right neighbour of a flipped box is the left one of the box."""
    references = np.array([[30.0, 20, 90, 60], [10, 50, 25, 95], [100, 10, 150, 44]])
    _, augmented = augmentation.apply(image(100, 160), references, rng())
    for reference, box in zip(references, augmented):
        side = box[2:] - box[:2]
        match = np.add(box, [0.1 * side[0], 0.2 * side[1], 0.3 * side[0], 0.1 * side[1]])
        carried = augmentation.carry_back(match, box, reference)
        in_augmented = pairwise_iou(box[None], match[None])[0, 0]
        assert pairwise_iou(reference[None], carried[None])[0, 0] == pytest.approx(in_augmented, abs=1e-9)
        assert augmentation.carry_back(box, box, reference) == pytest.approx(reference)
        leans_right = carried[[0, 2]].mean() > reference[[0, 2]].mean()
        assert leans_right == (augmentation.name != "flip")


def test_a_box_whose_reference_lost_its_width_is_carried_back_all_the_same():
    carried = AUGMENTATIONS[3].carry_back([10, 10, 20, 20], [5, 10, 5, 20], [0, 10, 4, 20])
    assert np.isfinite(carried).all()
    assert (carried[:2] < carried[2:]).all()
