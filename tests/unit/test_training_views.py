"""What the network is shown: tiles by the keys, by the boxes or by the chosen model; of both sets."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_training import config, job_of
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.dataset.coco_json import IGNORED, CocoDataset
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.tile_windows import Tiling
from ymir_detectron2.training.training_views import TrainingViews

CFG = config(
    MODEL__ANCHOR_GENERATOR__SIZES=[[16], [32], [64], [128], [256]], INPUT__MIN_SIZE_TRAIN=[128],
    INPUT__MAX_SIZE_TRAIN=256,
)  # fmt: skip
"""A square of 16 px is wanted: two cells of the finest level."""


def boxes_of(side: float, image_hw: tuple[int, int] = (512, 512), count: int = 12) -> CocoDataset:
    """Images with a square in the upper left corner each."""
    boxes = np.tile(np.array([[0, 0, side, side]], dtype=np.float32), (count, 1))
    paths, hw = tuple(f"{number}.jpg" for number in range(count)), np.tile(np.array(image_hw, np.int32), (count, 1))
    return CocoDataset(("a", "b"), paths, hw, np.arange(count + 1), boxes, np.zeros(count, dtype=np.int64))


def views(folder: Path, form: dict[str, Any], side: float = 16.0, cfg: Any = CFG, **changed: Any) -> TrainingViews:
    job = dataclasses.replace(job_of(folder, form), **changed)
    found = TrainingViews(job, boxes_of(side), boxes_of(side, count=5))
    assert found.cut(cfg) == found.draws
    return found


def model_with(folder: Path, metadata: dict[str, Any]) -> ModelPackage:
    write_checkpoint(folder / "model.pth", {"weight": torch.zeros(1)}, metadata)
    return ModelPackage(folder / "model.pth", None, None, "pretrained_model_params")


@pytest.mark.parametrize(
    ("form", "tiling"),
    [
        ({}, Tiling()), ({"tile_size": "none"}, Tiling()), ({"tile_size": 256}, Tiling(256, 51)),
        ({"tile_size": 256, "tile_overlap": 100}, Tiling(256, 100)),
        # 16 px of the image are 4 px of the network, and 16 px in tiles of 128
        ({"tile_size": "auto"}, Tiling(128, 25)), ({"tile_size": "auto", "tile_overlap": 64}, Tiling(128, 64)),
    ],
    ids=str,
)  # fmt: skip
def test_the_keys_decide(tmp_path: Path, form: dict[str, Any], tiling: Tiling):
    found = views(tmp_path, form)
    assert found.tiling == tiling
    windows = len(tiling.windows((512, 512)))
    assert (len(found.train), len(found.val)) == (12 * windows, 5 * windows)
    assert found.per_val_image == windows


def test_a_pass_draws_whole_images_tiles_with_objects_and_as_many_without(tmp_path: Path):
    found = views(tmp_path, {"tile_size": 256})
    assert found.draws == 12 + 12 + 12
    assert views(tmp_path, {}).draws == 12


def test_auto_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        views(tmp_path, {"tile_size": "auto"})
    assert "tile_size: auto: 128: a tenth of the training boxes is below 4.0 px" in caplog.text
    assert "tiles of 128 px, neighbours sharing 25 px" in caplog.text


def test_auto_may_choose_none_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        assert views(tmp_path, {"tile_size": "auto"}, side=64.0).tiling == Tiling()
    assert "tile_size: auto: no tiles: a tenth of the training boxes is below 16.0 px" in caplog.text


@pytest.mark.parametrize(
    ("sizes", "form", "tile_size"),
    [
        # an anchor of 32 px has an IoU of 0.5 with squares of 22.6 px: 128 * 40 / 22.6 = 226
        ([[32], [64], [128], [256], [512]], {}, 224),
        ([32, 64, 128, 256, 512], {}, 224),
        # two cells of 8 px: 128 * 40 / 16 = 320, and anchors are fitted to what the tiles show
        ([[32], [64], [128], [256], [512]], {"anchors": "auto"}, 320),
        ([[4], [8], [16], [32], [64]], {}, 320),
    ],
    ids=str,
)
def test_what_the_smallest_anchor_and_the_finest_stride_can_detect(
    tmp_path: Path, sizes: Any, form: dict[str, Any], tile_size: int
):
    cfg = CFG.merged({"MODEL.ANCHOR_GENERATOR.SIZES": sizes}, "test")
    assert views(tmp_path, {"tile_size": "auto", **form}, side=40.0, cfg=cfg).tiling.size == tile_size


def test_an_overlap_that_does_not_fit_what_auto_has_chosen(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"config\.yaml: tile_overlap: must be at most half of tile_size, found 65"):
        views(tmp_path, {"tile_size": "auto", "tile_overlap": 65})


@pytest.mark.parametrize(
    ("form", "tiling"),
    [({}, Tiling(200, 7)), ({"tile_size": "none"}, Tiling()), ({"tile_size": 128}, Tiling(128, 25)),
     ({"tile_size": "auto"}, Tiling(128, 25))],
    ids=str,
)  # fmt: skip
def test_a_chosen_model_brings_its_tiles_unless_the_form_says_otherwise(
    tmp_path: Path, form: dict[str, Any], tiling: Tiling
):
    package = model_with(tmp_path, Tiling(200, 7).as_metadata())
    assert views(tmp_path, form, pretrained=package).tiling == tiling


def test_a_chosen_model_that_knows_no_tiles_has_none(tmp_path: Path):
    assert views(tmp_path, {}, pretrained=model_with(tmp_path, {})).tiling == Tiling()


def test_boxes_below_a_cell_of_the_network_are_ignored_in_the_whole_image(tmp_path: Path):
    """A quarter of its size: 31 px become 7.75 px, 32 px become 8."""
    for side, class_id in ((31.0, IGNORED), (32.0, 0)):
        found = views(tmp_path, {"tile_size": 128}, side=side)
        assert found.train.objects(0)[1].tolist() == [class_id]
        assert found.val.objects(0)[1].tolist() == [class_id]


def test_a_pass_draws_as_few_images_without_objects_as_the_key_says(tmp_path: Path):
    filled = boxes_of(16.0)
    starts = np.concatenate([filled.box_starts, np.full(24, 12)])  # 24 more images, none with a box
    train = CocoDataset(
        ("a", "b"), tuple(f"{number}.jpg" for number in range(36)), np.tile([[512, 512]], (36, 1)).astype(np.int32),
        starts, filled.boxes_xyxy, filled.classes,
    )  # fmt: skip
    for share, draws in ((0.0, 36), (0.5, 24), (0.2, 15)):
        found = TrainingViews(job_of(tmp_path, {"empty_share": share}), train, filled)
        assert found.cut(CFG) == draws
        assert len(found.train) == 36
        assert found.val.draws is None
