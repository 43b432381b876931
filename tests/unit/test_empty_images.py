"""How often images without objects are drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.dataset.coco_json import IGNORED, CocoDataset
from ymir_detectron2.training.empty_images import with_empty_share
from ymir_detectron2.training.sampling import InfiniteBatchSampler


def dataset(classes: list[list[int]]) -> CocoDataset:
    starts = np.concatenate([[0], np.cumsum([len(of_image) for of_image in classes])]).astype(np.int64)
    flat = np.array([class_id for of_image in classes for class_id in of_image], dtype=np.int64)
    boxes = np.tile(np.array([[2, 4, 12, 24]], dtype=np.float32), (len(flat), 1))
    names = tuple(f"{number}.jpg" for number in range(len(classes)))
    return CocoDataset(("a", "b"), names, np.tile([[64, 64]], (len(names), 1)).astype(np.int32), starts, boxes, flat)


@pytest.mark.parametrize(
    ("most", "draws_of_empty"),
    [
        (1.0, 1.0),
        (0.75, 1.0),  # 6 of 8 are empty
        (0.5, 2 / 6),  # 2 and 2
        (0.2, 0.5 / 6),  # 2 and half a draw: a fifth of 2.5
    ],
)
def test_images_without_objects_are_drawn_less_often(most: float, draws_of_empty: float):
    data = with_empty_share(dataset([[], [0], [], [], [1, 1], [], [], []]), most)
    draws = np.ones(8) if data.draws is None else data.draws
    np.testing.assert_allclose(draws, [draws_of_empty if n not in (1, 4) else 1.0 for n in range(8)])


def test_a_set_with_few_of_them_or_with_nothing_else_stays_as_it_is():
    for classes in ([[0], [1], []], [[], [], []], [[0]], []):
        data = dataset(classes)
        assert with_empty_share(data, 0.4) is data


def test_boxes_that_are_ignored_are_no_objects_and_earlier_draws_count():
    plain = dataset([[IGNORED], [0], [], []])
    data = CocoDataset(**{**plain._asdict(), "draws": np.array([1.0, 1.0, 0.5, 0.5])})
    np.testing.assert_allclose(with_empty_share(data, 0.5).draws, [0.5, 1.0, 0.25, 0.25])


def test_a_training_draws_them_in_this_share_and_all_of_them_in_time():
    data = with_empty_share(dataset([[0]] * 10 + [[]] * 30), 0.5)
    cfg = RetinaNetConfig.default().merged(
        {"SOLVER.IMS_PER_BATCH": 4, "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False}, "test"
    )
    batches = itertools.islice(InfiniteBatchSampler(cfg, data, seed=0, rank=0, world_size=1), 500)
    images = np.array([index.image for batch in batches for index in batch])
    assert 0.47 < (images >= 10).mean() < 0.53
    assert set(images.tolist()) == set(range(40))
