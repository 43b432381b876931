"""What the setting `augment` does to images and boxes; every expected box is worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny_training import config, draw_set
from ymir_detectron2.config.train_settings import AUGMENTATIONS
from ymir_detectron2.training.augmentations import (
    Augmentations,
    LabelledImage,
    crop,
    flip,
    jitter_colours,
    mosaic,
)
from ymir_detectron2.training.samples import TrainingDataset
from ymir_detectron2.training.sampling import SampleIndex


def labelled(hw: tuple[int, int], *boxes: tuple[int, int, int, int], first_class: int = 0) -> LabelledImage:
    """Black, with white objects."""
    image = np.zeros((*hw, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    classes = np.arange(first_class, first_class + len(boxes), dtype=np.int64)
    return LabelledImage(image, np.array(boxes, np.float32).reshape(-1, 4), classes)


@pytest.mark.parametrize(
    ("horizontally", "expected"),
    [
        pytest.param(True, [28, 4, 38, 24], id="left to right"),  # 40 - 12, 4, 40 - 2, 24
        pytest.param(False, [2, 26, 12, 46], id="upside down"),  # 2, 50 - 24, 12, 50 - 4
    ],
)
def test_flip(horizontally: bool, expected: list[int]):
    image = labelled((50, 40), (2, 4, 12, 24))
    flipped = flip(image, horizontally=horizontally)
    assert flipped.boxes_xyxy.tolist() == [expected]
    x1, y1, x2, y2 = expected
    assert flipped.image_hwc[y1:y2, x1:x2].min() == 255
    assert int((flipped.image_hwc > 0).sum()) == 20 * 10 * 3
    twice = flip(flipped, horizontally=horizontally)
    np.testing.assert_array_equal(twice.image_hwc, image.image_hwc)
    assert twice.boxes_xyxy.tolist() == image.boxes_xyxy.tolist()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((20, 20, 30, 30), [[10, 0, 20, 10]], id="inside, moved by the corner"),
        pytest.param((0, 25, 20, 35), [[0, 5, 10, 15]], id="half of it left"),
        pytest.param((6, 25, 22, 33), [[0, 5, 12, 13]], id="three quarters left"),
        pytest.param((0, 25, 13, 35), [], id="3 of 13 columns left: less than a quarter"),
        pytest.param((4, 25, 12, 35), [[0, 5, 2, 15]], id="exactly a quarter left"),
        pytest.param((60, 60, 70, 70), [], id="outside"),
        pytest.param((0, 0, 100, 100), [], id="16 % of a box larger than the window"),
        pytest.param((5, 10, 55, 65), [[0, 0, 40, 40]], id="58 % of a box larger than the window"),
    ],
)
def test_crop(box: tuple[int, int, int, int], expected: list[list[float]]):
    """The window is columns 10 to 50 and rows 20 to 60 of 100 x 100."""
    found = crop(labelled((100, 100), box), 10, 20, 50, 60)
    assert found.image_hwc.shape == (40, 40, 3)
    assert found.boxes_xyxy.tolist() == expected
    assert len(found.classes) == len(expected)
    for x1, y1, x2, y2 in found.boxes_xyxy.astype(int):
        assert found.image_hwc[y1:y2, x1:x2].min() == 255


def test_mosaic_puts_each_image_whole_into_its_quarter():
    """The first one, 80 x 120, sets the size, so that a quarter is 40 x 60.

    80 x 120 halves. 40 x 40 fits as it is. 80 x 40 halves to 40 x 20. 20 x 60 fits as it is.
    """
    found = mosaic(
        [
            labelled((80, 120), (20, 20, 60, 40), first_class=0),
            labelled((40, 40), (10, 0, 20, 30), first_class=1),
            labelled((80, 40), (0, 0, 40, 80), first_class=2),
            labelled((20, 60), (6, 4, 16, 14), first_class=3),
        ]
    )
    assert found.image_hwc.shape == (80, 120, 3)
    expected = [[10, 10, 30, 20], [70, 0, 80, 30], [0, 40, 20, 80], [66, 44, 76, 54]]
    assert found.boxes_xyxy.tolist() == expected
    assert found.classes.tolist() == [0, 1, 2, 3]
    for x1, y1, x2, y2 in expected:
        assert found.image_hwc[y1:y2, x1:x2].min() == 255
    assert int((found.image_hwc == 255).all(axis=2).sum()) == 20 * 10 + 10 * 30 + 20 * 40 + 10 * 10
    assert (found.image_hwc[45, 30] == 114).all(), "grey where no image is"


def test_mosaic_of_images_without_quarters_or_objects():
    tiny = labelled((1, 1))
    assert mosaic([tiny] * 4) is tiny
    assert mosaic([labelled((40, 40))] * 4).boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        pytest.param((1, 1, 1), [[100, 100, 100], [40, 60, 80]], id="nothing"),
        pytest.param((2, 1, 1), [[200, 200, 200], [80, 120, 160]], id="twice as bright"),
        pytest.param((1, 1, 0), [[100, 100, 100], [60, 60, 60]], id="no colour: the mean of 40, 60, 80"),
        pytest.param((1, 0, 1), [[80, 80, 80], [80, 80, 80]], id="no contrast: the mean of all six"),
        pytest.param((1, 2, 1), [[120, 120, 120], [0, 40, 80]], id="twice the distance from 80"),
        pytest.param((5, 1, 1), [[255, 255, 255], [200, 255, 255]], id="no further than 255"),
    ],
)
def test_colours(numbers: tuple[float, float, float], expected: list[list[int]]):
    image = np.array([[[100, 100, 100], [40, 60, 80]]], np.uint8)
    assert jitter_colours(image, *numbers).tolist() == [expected]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_changes_some_images_alike_for_the_same_draw(tmp_path: Path, name: str):
    cfg, data = config(INPUT__RANDOM_FLIP="none"), draw_set(tmp_path)
    plain = TrainingDataset(cfg, data, seed=0)
    first, second = (TrainingDataset(cfg, data, seed=0, augment=(name,)) for _ in range(2))
    changed = 0
    for number in range(12):
        draw = SampleIndex(number % 4, number)
        one, two, bare = first[draw], second[draw], plain[draw]
        assert isinstance(one, LabelledImage)
        np.testing.assert_array_equal(one.image_hwc, two.image_hwc)
        np.testing.assert_array_equal(one.boxes_xyxy, two.boxes_xyxy)
        assert len(one.boxes_xyxy) == len(one.classes)
        height, width = one.image_hwc.shape[:2]
        assert (one.boxes_xyxy >= -1e-3).all()
        assert (one.boxes_xyxy <= np.array([width, height] * 2) + 1e-3).all()
        changed += one.image_hwc.shape != bare.image_hwc.shape or not np.array_equal(one.image_hwc, bare.image_hwc)
    assert 1 <= changed <= 12


def test_light_jitter_changes_brightness_and_contrast_a_little_and_no_colour():
    """Two pixels of mean 100: one with colours 20 apart, a grey one 100 brighter than its mean."""
    image = np.array([[[30, 50, 70], [150, 150, 150]]], np.uint8)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(400):
        found = Augmentations(("light_jitter",)).before_resizing(
            LabelledImage(image, *none), lambda _: None, generator
        )
        coloured, grey = found.image_hwc[0].astype(int)
        brightness = (coloured.mean() + grey.mean()) / 200
        contrast = (grey.mean() - coloured.mean()) / 100 / brightness
        assert 0.89 <= brightness <= 1.11
        assert 0.88 <= contrast <= 1.12, "0.9 to 1.1, and rounding"
        # saturation would change the distance of colours, but not that of the two pixels
        assert abs((coloured[2] - coloured[0]) / 40 - (grey.mean() - coloured.mean()) / 100) < 0.03
        seen.add((round(brightness, 2), round(contrast, 2)))
    assert len(seen) > 100
