"""The share of boxes without a fitting anchor is logged; anchors are fitted on request, where they may change."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_training import config, job_of
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.dataset.coco_json import IGNORED, CocoDataset
from ymir_detectron2.training.anchor_check import RATIOS, SIZES, with_checked_anchors

CFG = config(MODEL__ANCHOR_GENERATOR__SIZES=[[12], [24], [48], [96], [192]], INPUT__MIN_SIZE_TRAIN=[64])
COUNT = 200
FLAT, SQUARE = (48.0, 6.0), (24.0, 24.0)
"""Width and height. A flat box overlaps the best anchor, 34 x 17, by 204 / 662; the square one fits its anchor."""


def boxes_of(*shapes: tuple[float, float]) -> CocoDataset:
    """200 images of 64 x 64, which is the training size, each with one box, of the shapes in turn."""
    wh = np.array([shapes[number % len(shapes)] for number in range(COUNT)], dtype=np.float32)
    corners = np.concatenate([np.zeros_like(wh), wh], axis=1)
    paths = tuple(f"{number}.jpg" for number in range(COUNT))
    hw = np.full((COUNT, 2), 64, dtype=np.int32)
    return CocoDataset(("a",), paths, hw, np.arange(COUNT + 1), corners, np.zeros(COUNT, dtype=np.int64))


def check(folder: Path, form: dict[str, Any], overrides: dict[str, str] | None = None, **changed: Any):
    """The configuration that comes out, and what was reported."""
    reported: list[dict[str, float]] = []
    job = dataclasses.replace(job_of(folder, form, overrides=overrides), on_anchors=reported.append, **changed)
    return with_checked_anchors(job, CFG, boxes_of(FLAT, SQUARE)), reported


def test_the_share_is_reported_and_nothing_changes_by_default(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        cfg, reported = check(tmp_path, {})
    assert cfg == CFG
    assert reported == [{"share_of_boxes_not_reached": 0.5}]
    assert "50.00 % of training boxes have no anchor with IoU >= 0.5" in caplog.text


def warnings_about(folder: Path, form: dict[str, Any], *shapes: tuple[float, float]) -> list[str]:
    warnings: list[str] = []
    job = dataclasses.replace(job_of(folder, form), on_warning=warnings.append)
    with_checked_anchors(job, CFG, boxes_of(*shapes))
    return warnings


FITTING, TINY = (24.0, 24.0), (12.0, 7.9)


@pytest.mark.parametrize(
    ("form", "shapes", "expected"),
    [
        ({}, [FITTING] * 20, []),
        ({}, [(60.0, 9.0), *[FITTING] * 19], []),  # 5 % are not many
        ({}, [(60.0, 9.0), *[FITTING] * 9], ["10% of the training boxes fit no anchor"]),
        ({}, [TINY, *[FITTING] * 19], []),
        ({}, [TINY, *[FITTING] * 9], ["10% of the training boxes have a side below 8 px at the size of the network"]),
        ({"anchors": "auto"}, [(60.0, 9.0), *[FITTING] * 9], []),
    ],
)
def test_many_boxes_that_are_missed_or_small_are_a_warning(
    tmp_path: Path, form: dict[str, Any], shapes: list[tuple[float, float]], expected: list[str]
):
    warnings = warnings_about(tmp_path, form, *shapes)
    assert len(warnings) == len(expected)
    assert all(warning.startswith(start) for warning, start in zip(warnings, expected))


def test_auto_fits_them_and_logs_before_and_after(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        cfg, reported = check(tmp_path, {"anchors": "auto"})
    assert reported == [{"share_of_boxes_not_reached": 0.0, "share_before_fitting": 0.5}]
    assert "0.00 % of training boxes have no anchor with IoU >= 0.5, 50.00 % before" in caplog.text
    assert [len(level) for level in cfg[SIZES]] == [1] * 5, "as many anchors as before: weights still fit"
    assert len(cfg[RATIOS][0]) == 3
    assert {key for key in CFG if cfg[key] != CFG[key]} <= {SIZES, RATIOS}


@pytest.mark.parametrize("key", [SIZES, RATIOS])
def test_args_options_win(tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture):
    cfg, reported = check(tmp_path, {"anchors": "auto"}, {key: "whatever the config has by now"})
    assert cfg == CFG
    assert f"anchors: auto has no effect: args_options sets {key}" in caplog.text
    assert reported == [{"share_of_boxes_not_reached": 0.5}]


def test_a_pretrained_model_keeps_its_anchors(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    package = ModelPackage(tmp_path / "model.pth", None, None, "pretrained_model_params")
    assert check(tmp_path, {"anchors": "auto"}, pretrained=package)[0] == CFG
    assert "anchors: auto has no effect: the pretrained model brings its own anchors" in caplog.text


def test_other_generators_are_not_checked(tmp_path: Path):
    reported: list[Any] = []
    job = dataclasses.replace(job_of(tmp_path, {"anchors": "auto"}), on_anchors=reported.append)
    rotated = CFG.merged({"MODEL.ANCHOR_GENERATOR.NAME": "RotatedAnchorGenerator"}, "test")
    assert with_checked_anchors(job, rotated, boxes_of(FLAT)) == rotated
    assert reported == []


def test_ignored_boxes_of_tiles_do_not_count(tmp_path: Path):
    reported: list[Any] = []
    job = dataclasses.replace(job_of(tmp_path, {}), on_anchors=reported.append)
    data = boxes_of(FLAT, SQUARE)
    with_checked_anchors(job, CFG, data.with_columns(classes=np.tile(np.array([IGNORED, 0]), COUNT // 2)))
    assert reported == [{"share_of_boxes_not_reached": 0.0}]
