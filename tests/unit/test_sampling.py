"""Which pictures make up a batch, over how many processes, how often; and what is done to a picture."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.config import Config
from ymir_detectron2.training.pictures import TrainingPicture, TrainingPictures, UnreadablePicture, flip
from ymir_detectron2.training.sampling import BatchStream, Draw

WIDE, HIGH, SQUARE = (60, 90), (90, 60), (64, 64)


def dataset(hws: list[tuple[int, int]], classes: list[list[int]], paths: tuple[str, ...] = ()) -> CocoDataset:
    starts = np.concatenate([[0], np.cumsum([len(of_picture) for of_picture in classes])])
    flat = np.array([class_id for of_picture in classes for class_id in of_picture], dtype=np.int64)
    boxes = np.tile(np.array([[2, 4, 12, 24]], dtype=np.float32), (len(flat), 1))
    names = paths or tuple(f"{number}.jpg" for number in range(len(hws)))
    return CocoDataset(("a", "b"), names, np.array(hws, dtype=np.int32), starts, boxes, flat)


def config(**values: Any) -> Config:
    keys = {"SOLVER.IMS_PER_BATCH": 4, "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False}
    return Config.default().merged({**keys, **{key.replace("__", "."): value for key, value in values.items()}}, "test")


def batches(data: CocoDataset, count: int, cfg: Config, *, rank: int = 0, world_size: int = 1, seed: int = 0):
    return list(itertools.islice(BatchStream(cfg, data, seed=seed, rank=rank, world_size=world_size), count))


MIXED = dataset([WIDE, HIGH, SQUARE] * 5, [[0]] * 15)


def test_a_batch_holds_wide_pictures_or_none():
    for batch in batches(MIXED, 50, config()):
        assert len({MIXED.image_hw[draw.picture][1] > MIXED.image_hw[draw.picture][0] for draw in batch}) == 1
        assert len(batch) == 4


def test_without_grouping_batches_follow_the_stream():
    ungrouped = batches(MIXED, 5, config(DATALOADER__ASPECT_RATIO_GROUPING=False))
    assert [draw.number for batch in ungrouped for draw in batch] == list(range(20))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_a_batch_without_overlap(world_size: int):
    together = batches(MIXED, 20, config())
    parts = [batches(MIXED, 20, config(), rank=rank, world_size=world_size) for rank in range(world_size)]
    for number, whole in enumerate(together):
        shares = [part[number] for part in parts]
        assert {len(share) for share in shares} == {4 // world_size}
        assert Counter(itertools.chain(*shares)) == Counter(whole)


def test_a_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(ConfigError, match="batch_size 4 cannot be shared by 3 processes; use a multiple of 3"):
        batches(MIXED, 1, config(), world_size=3)


def test_every_picture_comes_once_per_epoch_and_the_seed_fixes_the_order():
    square = dataset([SQUARE] * 8, [[0]] * 8)
    first, again, other = (batches(square, 6, config(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    for epoch in (first[0:2], first[2:4], first[4:6]):
        assert sorted(draw.picture for batch in epoch for draw in batch) == list(range(8))


def test_pictures_without_objects_are_used_unless_the_config_filters_them():
    half = dataset([SQUARE] * 4, [[0], [], [1], []])
    assert {draw.picture for batch in batches(half, 8, config()) for draw in batch} == {0, 1, 2, 3}
    filtered = config(DATALOADER__FILTER_EMPTY_ANNOTATIONS=True)
    assert {draw.picture for batch in batches(half, 8, filtered) for draw in batch} == {0, 2}


def test_rare_classes_are_repeated():
    """Class b is in 1 of 16 pictures, wanted in 1 of 4: LVIS repeats it sqrt(0.25 / 0.0625) = 2 times."""
    rare = dataset([SQUARE] * 16, [[0]] * 15 + [[1, 0, 1]])
    cfg = config(DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler", DATALOADER__REPEAT_THRESHOLD=0.25)
    epochs = 4
    counts = Counter(draw.picture for batch in batches(rare, 17 * epochs // 4, cfg) for draw in batch)
    assert counts == {**dict.fromkeys(range(15), epochs), 15: 2 * epochs}


def test_an_unknown_sampler_is_named():
    with pytest.raises(ConfigError, match="'Other' is not known to the torch engine"):
        batches(MIXED, 1, config(DATALOADER__SAMPLER_TRAIN="Other"))


@pytest.mark.parametrize(
    ("horizontally", "expected"),
    [
        pytest.param(True, [28, 4, 38, 24], id="left to right"),  # 40 - 12, 4, 40 - 2, 24
        pytest.param(False, [2, 26, 12, 46], id="upside down"),  # 2, 50 - 24, 12, 50 - 4
    ],
)
def test_boxes_are_mirrored_with_their_picture(horizontally: bool, expected: list[float]):
    image = np.zeros((50, 40, 3), np.uint8)
    image[4:24, 2:12] = 255
    flipped, boxes = flip(image, np.array([[2, 4, 12, 24]], np.float32), horizontally=horizontally)
    assert boxes.tolist() == [expected]
    x1, y1, x2, y2 = map(int, expected)
    assert flipped[y1:y2, x1:x2].min() == 255
    assert int((flipped > 0).sum()) == 20 * 10 * 3
    twice, back = flip(flipped, boxes, horizontally=horizontally)
    np.testing.assert_array_equal(twice, image)
    assert back.tolist() == [[2, 4, 12, 24]]


def training_picture(tmp_path: Path, hw: tuple[int, int], number: int = 0, **values: Any):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*hw, 3)).astype(np.uint8)).save(path)
    data = dataset([hw], [[1]], (str(path),))
    cfg = config(INPUT__MIN_SIZE_TRAIN=[64], INPUT__MAX_SIZE_TRAIN=96, **values)
    return TrainingPictures(cfg, data, seed=3)[Draw(0, number)]


def test_a_picture_is_resized_with_its_boxes(tmp_path: Path):
    """32 x 48 to 64 x 96: everything is twice as large."""
    picture = training_picture(tmp_path, (32, 48), INPUT__RANDOM_FLIP="none")
    assert isinstance(picture, TrainingPicture)
    assert picture.image_chw.shape == (3, 64, 96)
    assert picture.boxes_xyxy.tolist() == [[4, 8, 24, 48]]
    assert picture.classes.tolist() == [1]


def test_the_number_of_a_draw_fixes_its_augmentation(tmp_path: Path):
    boxes = [training_picture(tmp_path, (32, 48), number).boxes_xyxy.tolist() for number in [*range(12), *range(12)]]
    assert boxes[:12] == boxes[12:]
    assert len({str(box) for box in boxes}) == 2, "some are flipped, some are not"


def test_rgb_models_get_rgb(tmp_path: Path):
    bgr, rgb = (
        training_picture(tmp_path, (32, 48), INPUT__RANDOM_FLIP="none", INPUT__FORMAT=order) for order in ("BGR", "RGB")
    )
    np.testing.assert_array_equal(bgr.image_chw[::-1], rgb.image_chw)


def test_a_picture_that_cannot_be_read_is_told_and_not_raised(tmp_path: Path):
    data = dataset([SQUARE], [[0]], (str(tmp_path / "gone.jpg"),))
    found = TrainingPictures(config(), data, seed=0)[Draw(0, 0)]
    assert isinstance(found, UnreadablePicture)
    assert "gone.jpg" in found.reason


def test_an_unknown_flip_is_named():
    with pytest.raises(ConfigError, match=r"INPUT.RANDOM_FLIP: must be none, horizontal or vertical, found 'diagonal'"):
        TrainingPictures(config(INPUT__RANDOM_FLIP="diagonal"), MIXED, seed=0)


def test_a_picture_a_thousand_times_as_wide_as_high_keeps_a_row_of_pixels(tmp_path: Path):
    picture = training_picture(tmp_path, (1, 1000))
    assert picture.image_chw.shape == (3, 1, 96)
