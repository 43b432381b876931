"""Which set a file or folder is named after, and what is said about a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.errors import DatasetError
from ymir_detectron2.sources.source import (
    TEST,
    TRAIN,
    UNDIVIDED,
    VAL,
    LabelledSource,
    require_some_labels,
    set_of_folder,
    set_of_name,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("instances_train2017", TRAIN), ("val", VAL), ("my-validation-set", VAL), ("image_info_test2017", TEST),
        ("valid", VAL), ("instances_default", UNDIVIDED), ("trainval", UNDIVIDED), ("constraints", UNDIVIDED),
    ],
)  # fmt: skip
def test_sets_by_words_of_a_name(name: str, expected: str):
    assert set_of_name(name) == expected


@pytest.mark.parametrize(("name", "expected"), [("train2017", TRAIN), ("Valid", VAL), ("train_images", UNDIVIDED)])
def test_sets_by_folders(name: str, expected: str):
    assert set_of_folder(name) == expected


def test_a_source_says_what_it_is():
    source = LabelledSource()
    source.root, source.format_name = Path("data"), "YOLO"
    source.sets = {TEST: [Path("c")], TRAIN: [Path("a"), Path("b")], VAL: []}
    assert source.describe() == "data: a YOLO dataset, 2 training images and 1 test images"


def test_annotations_of_all_images_are_not_missing_by_chance(tmp_path: Path):
    require_some_labels(["a", "b"], 1, tmp_path, "labels/a.txt")
    require_some_labels([], 0, tmp_path, "labels/a.txt")
    with pytest.raises(DatasetError, match=r"none of 2 images has an annotation file; expected labels/a\.txt"):
        require_some_labels(["a", "b"], 2, tmp_path, "labels/a.txt")
