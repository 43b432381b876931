"""Which images make up a batch, over how many processes, and how often."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.training.sampling import InfiniteBatchSampler

WIDE, HIGH, SQUARE = (60, 90), (90, 60), (64, 64)


def dataset(hws: list[tuple[int, int]], classes: list[list[int]]) -> CocoDataset:
    starts = np.concatenate([[0], np.cumsum([len(of_image) for of_image in classes])])
    flat = np.array([class_id for of_image in classes for class_id in of_image], dtype=np.int64)
    boxes = np.tile(np.array([[2, 4, 12, 24]], dtype=np.float32), (len(flat), 1))
    names = tuple(f"{number}.jpg" for number in range(len(hws)))
    return CocoDataset(("a", "b"), names, np.array(hws, dtype=np.int32), starts, boxes, flat)


def config(**values: Any) -> RetinaNetConfig:
    keys = {"SOLVER.IMS_PER_BATCH": 4, "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False}
    given = {key.replace("__", "."): value for key, value in values.items()}
    return RetinaNetConfig.default().merged({**keys, **given}, "test")


def batches(data: CocoDataset, count: int, cfg: RetinaNetConfig, *, rank: int = 0, world_size: int = 1, seed: int = 0):
    return list(itertools.islice(InfiniteBatchSampler(cfg, data, seed=seed, rank=rank, world_size=world_size), count))


MIXED = dataset([WIDE, HIGH, SQUARE] * 5, [[0]] * 15)


def test_a_batch_holds_wide_images_or_none():
    for batch in batches(MIXED, 50, config()):
        assert len({MIXED.image_hw[index.image][1] > MIXED.image_hw[index.image][0] for index in batch}) == 1
        assert len(batch) == 4


def test_without_grouping_batches_follow_the_stream():
    ungrouped = batches(MIXED, 5, config(DATALOADER__ASPECT_RATIO_GROUPING=False))
    assert [index.draw for batch in ungrouped for index in batch] == list(range(20))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_a_batch_without_overlap(world_size: int):
    together = batches(MIXED, 20, config())
    of_rank = [batches(MIXED, 20, config(), rank=rank, world_size=world_size) for rank in range(world_size)]
    for number, whole in enumerate(together):
        shares = [batches_of_one[number] for batches_of_one in of_rank]
        assert {len(share) for share in shares} == {4 // world_size}
        assert Counter(itertools.chain(*shares)) == Counter(whole)


def test_a_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(ConfigError, match="batch_size 4 cannot be shared by 3 processes; use a multiple of 3"):
        batches(MIXED, 1, config(), world_size=3)


def test_every_image_comes_once_per_epoch_and_the_seed_fixes_the_order():
    square = dataset([SQUARE] * 8, [[0]] * 8)
    first, again, other = (batches(square, 6, config(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    for epoch in (first[0:2], first[2:4], first[4:6]):
        assert sorted(index.image for batch in epoch for index in batch) == list(range(8))


def test_images_without_objects_are_used_unless_the_config_filters_them():
    half = dataset([SQUARE] * 4, [[0], [], [1], []])
    assert {index.image for batch in batches(half, 8, config()) for index in batch} == {0, 1, 2, 3}
    filtered = config(DATALOADER__FILTER_EMPTY_ANNOTATIONS=True)
    assert {index.image for batch in batches(half, 8, filtered) for index in batch} == {0, 2}


def test_rare_classes_are_repeated():
    """Class b is in 1 of 16 images, wanted in 1 of 4: LVIS repeats it sqrt(0.25 / 0.0625) = 2 times."""
    rare = dataset([SQUARE] * 16, [[0]] * 15 + [[1, 0, 1]])
    cfg = config(DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler", DATALOADER__REPEAT_THRESHOLD=0.25)
    epochs = 4
    counts = Counter(index.image for batch in batches(rare, 17 * epochs // 4, cfg) for index in batch)
    assert counts == {**dict.fromkeys(range(15), epochs), 15: 2 * epochs}


def test_a_restart_continues_the_stream_where_it_was():
    """Images that wait for others of their shape wait again."""
    whole = batches(MIXED, 9, config())
    rest = InfiniteBatchSampler(config(), MIXED, seed=0, rank=0, world_size=1, first=4)
    assert list(itertools.islice(rest, 5)) == whole[4:]


def test_what_a_pass_draws_less_than_once_comes_in_some_passes():
    """Of 40 images the second half is drawn once in four passes."""
    data = dataset([SQUARE] * 40, [[0]] * 40).with_columns(draws=np.array([1.0] * 20 + [0.25] * 20))
    drawn = Counter(index.image for batch in batches(data, 1000, config()) for index in batch)
    passes = 4000 / (20 + 20 * 0.25)
    assert all(drawn[image] == pytest.approx(passes, abs=2) for image in range(20))
    assert all(drawn[image] == pytest.approx(passes / 4, rel=0.35) for image in range(20, 40))


def test_images_of_rare_classes_repeat_by_their_share_of_what_is_drawn():
    """Class b is in one of 4 images that every pass draws, and of 96 of which it draws none: a share of 1 / 4."""
    data = dataset([SQUARE] * 100, [[0]] * 3 + [[1]] + [[]] * 96).with_columns(draws=np.array([1.0] * 4 + [0.0] * 96))
    cfg = config(DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler", DATALOADER__REPEAT_THRESHOLD=1.0)
    drawn = Counter(index.image for batch in batches(data, 500, cfg) for index in batch)
    assert set(drawn) == {0, 1, 2, 3}
    assert drawn[3] / drawn[0] == pytest.approx(2 / (4 / 3) ** 0.5, rel=0.1)


def test_ignored_boxes_repeat_nothing():
    data = dataset([SQUARE] * 8, [[0]] * 7 + [[-1]])
    cfg = config(DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler", DATALOADER__REPEAT_THRESHOLD=0.5)
    assert Counter(index.image for batch in batches(data, 200, cfg) for index in batch) == dict.fromkeys(range(8), 100)
