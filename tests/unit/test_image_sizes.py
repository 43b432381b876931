"""`image_size` scales all sizes of a configuration alike, and never beyond what a configuration may hold."""

from __future__ import annotations

import pytest

from ymir_detectron2.config.accepted_values import check_values
from ymir_detectron2.config.image_sizes import MAX_EDGE, scaled_sizes, with_image_size
from ymir_detectron2.config.retinanet_config import RetinaNetConfig

KEYS = ("INPUT.MIN_SIZE_TRAIN", "INPUT.MAX_SIZE_TRAIN", "INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST")
AUGMENTED_KEYS = ("TEST.AUG.MIN_SIZES", "TEST.AUG.MAX_SIZE")


@pytest.mark.parametrize(
    ("sizes", "image_size", "expected"),
    [
        pytest.param(((640, 672, 800), 1333, 800, 1333), 400, ((320, 336, 400), 666, 400, 666), id="half"),
        pytest.param(((240,), 480, 240, 480), 240, ((240,), 480, 240, 480), id="as before"),
        pytest.param(((200, 300), 600, 0, 600), 150, ((100, 150), 300, 150, 300), id="inference at the own size"),
        pytest.param(((0,), 1333, 0, 1333), 512, ((512,), 1333, 512, 1333), id="everything at the own size"),
        pytest.param(((64,), 99999, 64, 99999), 800, ((800,), 1_000_000, 800, 1_000_000), id="no limit stays none"),
        pytest.param(((2, 800), 1333, 800, 1333), 100, ((1, 100), 167, 100, 167), id="at least a pixel"),
    ],
)
def test_image_size_scales_all_sizes_alike(sizes: tuple, image_size: int, expected: tuple):
    cfg = RetinaNetConfig.default().merged(dict(zip(KEYS, sizes)), "test")
    scaled = with_image_size(cfg, image_size)
    assert tuple(scaled[key] for key in KEYS) == expected
    check_values(scaled, training=True)


def test_the_copies_of_test_time_augmentation_keep_their_proportion_to_the_image():
    cfg = RetinaNetConfig.default().merged(dict(zip(AUGMENTED_KEYS, ((400, 800, 1200), 4000))), "test")
    assert cfg["INPUT.MIN_SIZE_TEST"] == 800
    scaled = with_image_size(cfg, 200)
    assert tuple(scaled[key] for key in AUGMENTED_KEYS) == ((100, 200, 300), 1000)


@pytest.mark.parametrize("image_size", [32, MAX_EDGE])
def test_the_smallest_and_the_largest_size_make_a_valid_configuration(image_size: int):
    check_values(with_image_size(RetinaNetConfig.default(), image_size), training=True)


def test_without_image_size_the_configuration_is_the_same():
    cfg = RetinaNetConfig.default()
    assert with_image_size(cfg, 0) is cfg
    assert set(scaled_sizes(cfg, 400)) == {*KEYS, *AUGMENTED_KEYS}
