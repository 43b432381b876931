"""Training and validation set: divided by content, so that no image is in both, and what is said of given ones."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Mapping, Sequence

import pytest

from tests.annotated_sets import grey_image
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.sources.source import TEST, TRAIN, UNDIVIDED, VAL, LabelledSource
from ymir_detectron2.sources.splitting import COPY, ONE_SIDED, OVERLAP, read_training_sets


class GivenSource(LabelledSource):
    """Images in memory."""

    format_name, root = "given", Path("given")

    def __init__(self, sets: Mapping[str, Sequence[AnnotatedImage]]) -> None:
        self._images = sets
        self.sets = {name: [image.path for image in images] for name, images in sets.items()}

    def read(self, name: str, issues: DataIssues) -> list[AnnotatedImage]:
        return list(self._images[name])


def images(folder: Path, count: int, first: int = 0, name: str = "cat") -> list[AnnotatedImage]:
    files = (grey_image(folder / f"{number}.png", number) for number in range(first, first + count))
    return [AnnotatedImage(file, ((name, 1, 1, 5, 5),)) for file in files]


def divide(
    sets: Mapping[str, Sequence[AnnotatedImage]], issues: DataIssues | None = None, *, share: float = 0.2, seed: int = 0
) -> tuple[list[str], list[str]]:
    source, issues = GivenSource(sets), DataIssues() if issues is None else issues
    train, val = read_training_sets(source, issues, val_share=share, seed=seed)
    return [image.path.name for image in train], [image.path.name for image in val]


@pytest.mark.parametrize(("count", "share", "expected"), [(10, 0.2, 2), (3, 0.1, 1), (2, 0.9, 1), (7, 0.5, 4)])
def test_the_share_of_the_validation_set(tmp_path: Path, count: int, share: float, expected: int):
    train, val = divide({UNDIVIDED: images(tmp_path, count)}, share=share)
    assert (len(train), len(val)) == (count - expected, expected)
    assert sorted(train + val) == sorted(f"{number}.png" for number in range(count))


def test_the_seed_decides_and_neither_names_nor_order_do(tmp_path: Path):
    given = images(tmp_path / "a", 20)
    first = divide({UNDIVIDED: given})
    assert divide({UNDIVIDED: random.Random(1).sample(given, 20)})[1] != []
    assert set(divide({UNDIVIDED: random.Random(1).sample(given, 20)})[1]) == set(first[1])
    assert divide({UNDIVIDED: given}, seed=1) != first
    assert divide({TRAIN: given}) == first, "one split given"
    renamed = [AnnotatedImage(Path(shutil.copy(image.path, tmp_path / f"z{image.path.name}"))) for image in given]
    assert [f"z{name}" for name in first[1]] == divide({UNDIVIDED: renamed})[1]


def test_copies_are_one_image_with_the_boxes_of_all(tmp_path: Path):
    given = images(tmp_path, 4)
    copies = [
        AnnotatedImage(Path(shutil.copy(given[0].path, tmp_path / f"copy{index}.png")), (box,))
        for index, box in enumerate((("Cat", 1, 1, 5, 5), ("dog", 2, 2, 6, 6)))
    ]
    issues = DataIssues()
    source = GivenSource({UNDIVIDED: [*given, *copies]})
    train, val = read_training_sets(source, issues, val_share=0.5, seed=0)
    assert sorted(image.path.name for image in train + val) == ["0.png", "1.png", "2.png", "3.png"]
    merged = next(image for image in train + val if image.path.name == "0.png")
    assert merged.boxes == (("cat", 1, 1, 5, 5), ("dog", 2, 2, 6, 6))
    assert issues.count(COPY) == 2


def test_given_sets_are_kept_and_what_is_in_both_is_counted(tmp_path: Path):
    train, val = images(tmp_path / "train", 3), images(tmp_path / "val", 2, first=2)
    issues = DataIssues()
    assert divide({TRAIN: train, VAL: val}, issues) == (["0.png", "1.png", "2.png"], ["2.png", "3.png"])
    assert issues.as_dict() == {OVERLAP: {"count": 1, "first": [str(val[0].path)]}}


def test_a_class_on_one_side_only_is_named(tmp_path: Path):
    train, val = images(tmp_path, 2, name="Cat"), images(tmp_path, 1, first=2, name="cat")
    val += images(tmp_path, 1, first=3, name="dog")
    issues = DataIssues()
    divide({TRAIN: train, VAL: val}, issues)
    assert issues.as_dict() == {ONE_SIDED: {"count": 1, "first": ["'dog' is not in the training set"]}}


def test_a_test_set_is_not_divided(tmp_path: Path):
    with pytest.raises(ConfigError, match="none of them is for training"):
        divide({TEST: images(tmp_path, 3)})
    train, val = divide({TRAIN: images(tmp_path, 5), TEST: images(tmp_path, 3, first=5)})
    assert len(train + val) == 5


def test_images_of_no_set_are_for_training_if_there_is_no_training_set(tmp_path: Path):
    val, others = images(tmp_path, 2), images(tmp_path, 3, first=2)
    assert divide({VAL: val, UNDIVIDED: others}) == (["2.png", "3.png", "4.png"], ["0.png", "1.png"])
    train = images(tmp_path, 1, first=5)
    assert divide({TRAIN: train, VAL: val, UNDIVIDED: others})[0] == ["5.png"]


def test_one_image_cannot_be_divided(tmp_path: Path):
    with pytest.raises(ConfigError, match="1 usable images cannot be divided"):
        divide({UNDIVIDED: images(tmp_path, 1)})
