"""The sets of the experiments: folders in both forms, and drawn ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.labelled_sets import load_set
from tests.annotated_sets import grey_image, write_coco, write_voc
from ymir_detectron2.errors import ConfigError

SPLITS = {"train.txt": ["a", "b"], "val.txt": ["c"]}
BOXES = {"a": [("cat", 1, 2, 9, 9)], "b": [], "c": [("dog", 1, 1, 5, 5)]}


def coco_file(folder: Path, file: str, names: list[str]) -> None:
    """Write a file of images without boxes, which are beside it."""
    entries = [{"id": number, "file_name": name, "width": 40, "height": 30} for number, name in enumerate(names)]
    (folder / file).write_text(json.dumps({"images": entries, "categories": [], "annotations": []}))


def test_folder_in_pascal_voc_form(tmp_path: Path) -> None:
    loaded = load_set(f"cats={write_voc(tmp_path / 'set', BOXES, SPLITS)}", tmp_path / "unused")
    assert loaded.name == "cats"
    assert [(image.path.name, len(image.boxes)) for image in loaded.train] == [("a.jpg", 1), ("b.jpg", 0)]
    assert [image.path.name for image in loaded.val] == ["c.jpg"]
    assert loaded.class_names == ["cat", "dog"]  # of both halves


@pytest.mark.parametrize("first", ["pool", "train"])
def test_folder_in_coco_form(tmp_path: Path, first: str) -> None:
    for split in (first, "val"):
        write_coco(tmp_path, split)
    loaded = load_set(str(tmp_path), tmp_path / "unused")
    assert loaded.name == tmp_path.name
    assert [image.path.name for image in loaded.train] == [f"{first}.png"]
    assert [image.path.name for image in loaded.val] == ["val.png"]
    assert {box[0] for box in loaded.train[0].boxes} == {"Dog", "cat"}
    assert loaded.class_names == ["Dog", "cat"]  # as the file lists them


@pytest.mark.slow
def test_drawn_sets_are_drawn_into_the_folder(tmp_path: Path) -> None:
    for name, counts in (("long-tail-common", (600, 300)), ("boards", (800, 100))):
        loaded = load_set(f"drawn:{name}", tmp_path / name)
        assert (loaded.name, len(loaded.train), len(loaded.val)) == (name, *counts)
        assert all(tmp_path / name in image.path.parents for image in (*loaded.train, *loaded.val))
    # a start is trained for the classes of the set that it is for, in their order
    assert loaded.class_names == ["open", "short", "mousebite", "spur", "copper", "pin_hole"]
    assert load_set("drawn:demo", tmp_path / "demo").class_names == ["bar", "disc", "triangle"]


def test_equal_images_are_one_as_on_the_platform(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "c.png"]
    for shade, name in enumerate(names[:2]):
        grey_image(tmp_path / name, 50 * shade)
    shutil.copy(str(tmp_path / "a.png"), str(tmp_path / "c.png"))
    coco_file(tmp_path, "pool.json", names)
    coco_file(tmp_path, "val.json", names)
    loaded = load_set(str(tmp_path), tmp_path / "unused")
    assert [image.path.name for image in loaded.train] == ["a.png", "b.png"]


def test_images_of_one_name_are_refused(tmp_path: Path) -> None:
    for shade, folder in enumerate(("x", "y")):
        grey_image(tmp_path / folder / "a.png", 50 * shade)
    coco_file(tmp_path, "pool.json", ["x/a.png", "y/a.png"])
    coco_file(tmp_path, "val.json", ["x/a.png"])
    with pytest.raises(ConfigError, match="same file name"):
        load_set(str(tmp_path), tmp_path / "unused")


@pytest.mark.parametrize("spec", ["drawn:other", "drawn:"])
def test_unknown_drawn_set_is_refused_with_those_that_there_are(tmp_path: Path, spec: str) -> None:
    with pytest.raises(ConfigError, match=r"choose one of demo, long-tail, long-tail-common, boards"):
        load_set(spec, tmp_path)


def test_folder_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither train\.txt .* nor pool\.json"):
        load_set(str(tmp_path), tmp_path)
