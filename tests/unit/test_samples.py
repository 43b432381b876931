"""What a training sample is: read, resized, flipped, in the channel order of the network, or counted as unreadable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny_training import config
from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.training.augmentations import LabelledImage
from ymir_detectron2.training.samples import TrainingDataset, UnreadableImage, readable_batches
from ymir_detectron2.training.sampling import SampleIndex


def one_image(path: Path, hw: tuple[int, int]) -> CocoDataset:
    """A set of one image with a box of the second class."""
    box, starts = np.array([[2, 4, 12, 24]], dtype=np.float32), np.array([0, 1])
    return CocoDataset(("a", "b"), (str(path),), np.array([hw], dtype=np.int32), starts, box, np.array([1]))


def sample(folder: Path, hw: tuple[int, int], draw: int = 0, **values: Any):
    path = folder / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*hw, 3)).astype(np.uint8)).save(path)
    return TrainingDataset(config(**values), one_image(path, hw), seed=3)[SampleIndex(0, draw)]


def test_an_image_is_resized_with_its_boxes(tmp_path: Path):
    """32 x 48 to 64 x 96: everything is twice as large."""
    image = sample(tmp_path, (32, 48), INPUT__RANDOM_FLIP="none")
    assert isinstance(image, LabelledImage)
    assert image.image_hwc.shape == (64, 96, 3)
    assert image.boxes_xyxy.tolist() == [[4, 8, 24, 48]]
    assert image.classes.tolist() == [1]


@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical"])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_pixels_are_one_writable_block_whatever_was_done_to_them(tmp_path: Path, flip: str, order: str):
    """torch takes neither negative strides nor read-only memory."""
    for draw in range(4):
        pixels = sample(tmp_path, (64, 96), draw, INPUT__RANDOM_FLIP=flip, INPUT__FORMAT=order).image_hwc
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable


def test_the_draw_determines_the_augmentation(tmp_path: Path):
    boxes = [sample(tmp_path, (32, 48), draw).boxes_xyxy.tolist() for draw in [*range(12), *range(12)]]
    assert boxes[:12] == boxes[12:]
    assert len({str(box) for box in boxes}) == 2, "some are flipped, some are not"


def test_rgb_models_get_rgb(tmp_path: Path):
    bgr, rgb = (sample(tmp_path, (32, 48), INPUT__RANDOM_FLIP="none", INPUT__FORMAT=order) for order in ("BGR", "RGB"))
    np.testing.assert_array_equal(bgr.image_hwc[:, :, ::-1], rgb.image_hwc)


def test_sizes_come_from_the_list_or_the_range(tmp_path: Path):
    """Square images, so that the short edge is both."""
    form: dict[str, Any] = {"INPUT__MAX_SIZE_TRAIN": 200, "INPUT__MIN_SIZE_TRAIN": [40, 80]}
    chosen = {sample(tmp_path, (64, 64), draw, **form).image_hwc.shape[0] for draw in range(20)}
    assert chosen == {40, 80}
    form["INPUT__MIN_SIZE_TRAIN_SAMPLING"] = "range"
    drawn = {sample(tmp_path, (64, 64), draw, **form).image_hwc.shape[0] for draw in range(20)}
    assert len(drawn) > 5
    assert min(drawn) >= 40
    assert max(drawn) <= 80


def test_an_image_a_thousand_times_as_wide_as_high_keeps_a_row_of_pixels(tmp_path: Path):
    assert sample(tmp_path, (1, 1000)).image_hwc.shape == (1, 96, 3)


def tile_of(path: Path, window: tuple[int, int, int, int], **values: Any):
    """The sample of one window of an image; the box is in pixels of the window."""
    data = one_image(path, (window[3], window[2])).with_columns(windows=np.array([window], dtype=np.int32))
    return TrainingDataset(config(INPUT__RANDOM_FLIP="none", **values), data, seed=3)[SampleIndex(0, 0)]


def test_a_tile_is_cut_out_and_resized_with_its_boxes(tmp_path: Path):
    """A tile of 32 x 32 at x = 60, y = 8, resized to twice its size."""
    pixels = np.zeros((48, 96, 3), dtype=np.uint8)
    pixels[8:40, 60:92] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = tile_of(tmp_path / "a.png", (60, 8, 32, 32))
    assert image.image_hwc.shape == (64, 64, 3)
    assert (image.image_hwc == 200).all()
    assert image.boxes_xyxy.tolist() == [[4, 8, 24, 48]]


@pytest.mark.parametrize("window", [(60, 8, 37, 32), (60, 17, 32, 32), (96, 0, 32, 32)])
def test_a_tile_beyond_an_image_that_has_shrunk_since_is_unreadable(tmp_path: Path, window: tuple[int, int, int, int]):
    Image.new("RGB", (96, 48)).save(tmp_path / "a.png")
    found = tile_of(tmp_path / "a.png", window)
    assert isinstance(found, UnreadableImage)
    assert "a.png: its size changed since the task began" in found.reason


def test_a_mosaic_takes_no_tiles_of_which_a_pass_leaves_some_out(tmp_path: Path):
    """Of two windows the second, of another colour, is drawn in a pass once in ten times."""
    Image.fromarray(np.repeat(np.array([[[250] * 3, [10] * 3]], np.uint8), 32, axis=0).repeat(32, axis=1)).save(
        tmp_path / "a.png"
    )
    windows = np.array([(0, 0, 32, 32), (32, 0, 32, 32)], dtype=np.int32)
    data = CocoDataset(
        ("a", "b"), (str(tmp_path / "a.png"),) * 2, np.full((2, 2), 32, np.int32), np.array([0, 0, 0]),
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), windows, np.array([1.0, 0.1]),
    )  # fmt: skip
    images = TrainingDataset(config(INPUT__RANDOM_FLIP="none"), data, seed=1, augment=["mosaic"])
    shown = [images[SampleIndex(0, draw)] for draw in range(30)]
    assert min(int(image.image_hwc.min()) for image in shown if isinstance(image, LabelledImage)) == 250


def test_an_unreadable_image_is_returned_as_such_and_not_raised(tmp_path: Path):
    found = TrainingDataset(config(), one_image(tmp_path / "gone.jpg", (64, 64)), seed=0)[SampleIndex(0, 0)]
    assert isinstance(found, UnreadableImage)
    assert "gone.jpg" in found.reason


BAD = UnreadableImage("bad.jpg")


@pytest.mark.parametrize(
    ("blank", "expected"),
    [
        pytest.param(None, [["a"], ["b", "c"]], id="one process leaves the empty batch out"),
        pytest.param("blank", [["a"], ["blank"], ["b", "c"]], id="one of several must not leave out a step"),
    ],
)
def test_batches_without_their_unreadable_images(blank: str | None, expected: list[list[str]]):
    skipped: set[str] = set()
    batches = [["a", BAD], [BAD, UnreadableImage("worse.jpg")], ["b", "c"]]
    assert list(readable_batches(batches, skipped, blank)) == expected
    assert skipped == {"bad.jpg", "worse.jpg"}, "each image once, however often it is drawn"


def test_a_thousand_batches_in_a_row_without_a_readable_image_are_an_error():
    batches = [["a"], *[[BAD]] * 999, ["b"], *[[BAD]] * 1000]
    stream = readable_batches(batches, set(), None)
    assert [next(stream), next(stream)] == [["a"], ["b"]]
    with pytest.raises(DatasetError, match=r"no image of 1000 batches could be decoded, e.g. .*bad.jpg"):
        next(stream)
