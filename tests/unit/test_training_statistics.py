"""training-statistics.json: written, read again, and refused when it is anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.evaluation.training_statistics import (
    MOST_FEATURES,
    TrainingStatistics,
    read_training_statistics,
    summarise_training,
)


def random_features(count: int, dim: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-127, 128, size=(count, dim)).astype(np.int8)


def some(features: np.ndarray | None = None, name: str = "") -> TrainingStatistics:
    return summarise_training(
        ["cat", "猫"], boxes_per_class=[7, 0], images_per_class=[3, 0], ap50_per_class=[0.25, float("nan")],
        images=9, images_without_objects=6, features=features, feature_name=name,
    )  # fmt: skip


def test_what_was_written_is_read(tmp_path: Path):
    features = random_features(3, 8)
    path = tmp_path / "training-statistics.json"
    path.write_bytes(some(features, "first").as_bytes())
    found = read_training_statistics(path)
    assert found == some(features, "first")
    assert [(one.name, one.boxes, one.images, one.ap50) for one in found.classes] == [
        ("cat", 7, 3, 0.25), ("猫", 0, 0, None),
    ]  # fmt: skip
    assert (found.images, found.images_without_objects) == (9, 6)
    np.testing.assert_array_equal(found.feature_matrix("first"), features)
    assert found.feature_matrix("second").shape == (0, 8), "made in another way: not comparable"


def test_a_training_without_features_has_none():
    assert len(some().feature_matrix("")) == 0


def test_the_largest_file_can_be_read(tmp_path: Path):
    names = [f"{'类' * 40}{number}" for number in range(1300)]
    zeros = [0] * len(names)
    largest = summarise_training(
        names, boxes_per_class=zeros, images_per_class=zeros, ap50_per_class=zeros, images=1, images_without_objects=1,
        features=random_features(MOST_FEATURES, 64), feature_name="x",
    )  # fmt: skip
    path = tmp_path / "training-statistics.json"
    path.write_bytes(largest.as_bytes())
    assert read_training_statistics(path).feature_matrix("x").shape == (MOST_FEATURES, 64)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"version": 2}, id="of a later version that means something else"),
        pytest.param({"images": -1}, id="fewer than no images"),
        pytest.param({"images": 1.5}, id="half an image"),
        pytest.param({"classes": None}, id="no classes"),
        pytest.param({"classes": [{"name": "a", "boxes": 1, "images": 1, "ap50": 1.5}]}, id="AP above 1"),
        pytest.param({"classes": [{"name": "a" * 5000, "boxes": 1, "images": 1}]}, id="name of a book"),
        pytest.param({"feature_dim": 0}, id="no dimensions"),
        pytest.param({"feature_dim": 7}, id="another length"),
        pytest.param({"feature_dim": 10**9}, id="as long as memory"),
        pytest.param({"features": "AAAA!"}, id="not base64"),
        pytest.param({"features": "A" * 4_000_000}, id="more than are written"),
        pytest.param({"features": "AAAA"}, id="less than a feature"),
        *(pytest.param({"classes": [{"name": "a", "boxes": 1, "images": 1, "ap50": value}]}, id=f"AP {value}")
          for value in (float("nan"), float("inf"))),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_sentence(tmp_path: Path, change: dict[str, Any]):
    content = {**json.loads(some(random_features(2, 8), "x").as_bytes()), **change}
    path = tmp_path / "training-statistics.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ExecutorError) as error:
        read_training_statistics(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("content", [b"", b"[", b"null", b"\xff\xfe", b'"' + b"[" * 100_000])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "training-statistics.json"
    path.write_bytes(content)
    with pytest.raises(ExecutorError):
        read_training_statistics(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ExecutorError, match="cannot be read"):
            read_training_statistics(path)
