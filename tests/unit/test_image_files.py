"""Which files are images, and which of them a name means: the one that has it, or none."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from ymir_detectron2.sources.image_files import ImageNames, find_all_named, images_below, is_image_name, pair_key


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "b/a.Jpeg", "a.webp", "a.tif", "clip.mp4#t=0.5.png"])
def test_image_names(name: str):
    assert is_image_name(name)
    assert not is_image_name(f"{name}.json")


def test_images_are_listed_without_hidden_files_and_task_folders(tmp_path: Path):
    touch(
        tmp_path, "b.JPG", "a/c.png", "a/._c.png", ".trash/d.png", "a.json", "task/in/env.yaml", "task/in/assets/e.png"
    )
    assert list(map(str, images_below(tmp_path))) == ["a/c.png", "b.JPG"]


def test_beside_a_folder_of_images_others_hold_masks(tmp_path: Path):
    touch(tmp_path, "JPEGImages/b/1.jpg", "SegmentationClass/1.png", "JPEGImages/2.jpg")
    assert list(map(str, images_below(tmp_path))) == ["JPEGImages/2.jpg", "JPEGImages/b/1.jpg"]


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("JPEGImages/b/1.jpg", "Annotations/b/1.xml"), ("images/1.jpg", "annotations/1.xml"), ("1.jpg", "1.XML"),
        ("images/train/1.jpg", "labels/train/1.txt"), ("train/images/1.jpg", "train/labels/1.txt"),
        ("images/1.jpg", "annotations/xmls/1.xml"), ("clip.mp4#t=0.5.jpg", "clip.mp4#t=0.5.xml"),
    ],
)  # fmt: skip
def test_an_image_and_its_annotation_have_one_key(image: str, annotation: str):
    assert pair_key(PurePosixPath(image)) == pair_key(PurePosixPath(annotation))


def test_images_of_two_folders_have_two_keys():
    assert pair_key(PurePosixPath("images/a/1.jpg")) != pair_key(PurePosixPath("images/b/1.jpg"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("1", ["JPEGImages/1.jpg"]), (" 1.jpg ", ["JPEGImages/1.jpg"]), ("b/1", ["JPEGImages/b/1.jpg"]),
        ("b\\1", ["JPEGImages/b/1.jpg"]), ("./b/1.jpg", ["JPEGImages/b/1.jpg"]),
        ("JPEGImages/b/1.jpg", ["JPEGImages/b/1.jpg"]), ("/their/VOC/JPEGImages/b/1.jpg", ["JPEGImages/b/1.jpg"]),
        ("C:\\VOC\\JPEGImages\\1.jpg", ["JPEGImages/1.jpg"]),
        ("JPEGImages/1.jpg Annotations/1.xml", ["JPEGImages/1.jpg"]),
        ("first one", ["JPEGImages/first one.jpg"]), ("t=0", ["JPEGImages/t=0.jpg"]),
        ("c/1", []), ("their/b/1", []), ("t=0.5", []), ("1.png", []), ("2", ["JPEGImages/2.jpg", "JPEGImages/2.png"]),
        ("2.png", ["JPEGImages/2.png"]), ("1.xml", []),
    ],
)  # fmt: skip
def test_a_line_means_the_image_of_that_name_or_none(tmp_path: Path, line: str, found: list[str]):
    names = ("1.jpg", "b/1.jpg", "2.jpg", "2.png", "first one.jpg", "t=0.jpg", "t=0.json")
    touch(tmp_path, *(f"JPEGImages/{name}" for name in names))
    assert list(map(str, ImageNames(tmp_path).find(line))) == found


@pytest.mark.parametrize(
    "names",
    [
        ["b/1.jpg", "2.jpg"], ["images\\b\\1.jpg", "images\\2.jpg"], ["/data/img/b/1.jpg", "/data/img/2.jpg"],
        ["..\\..\\media\\upload\\2.jpg"], ["./2.jpg"],
    ],
)  # fmt: skip
def test_folders_that_are_missing_here_are_dropped_from_all_names(tmp_path: Path, names: list[str]):
    touch(tmp_path, "b/1.jpg", "2.jpg")
    found, missing = find_all_named(tmp_path, names)
    assert (missing, [file.name for file in found]) == (
        None,
        [name.replace("\\", "/").split("/")[-1] for name in names],
    )


@pytest.mark.parametrize(
    ("files", "names", "missing"),
    [
        (["a/1.jpg", "1.jpg"], ["a/1.jpg", "b/1.jpg"], "b/1.jpg"),
        (["a/1.jpg", "1.jpg", "2.jpg"], ["a/1.jpg", "b/2.jpg"], "b/2.jpg"),
        (["1.jpg", "2.jpg"], ["1.jpg", "b/2.jpg"], "b/2.jpg"),
        (["1.jpg"], ["a/1.jpg", "b/1.jpg"], "b/1.jpg"),
        (["1.jpg"], ["x/1.jpg", "x/2.jpg"], "x/2.jpg"),
        ([], ["a/1.jpg"], "a/1.jpg"),
    ],
)
def test_no_image_of_another_folder_is_taken(tmp_path: Path, files: list[str], names: list[str], missing: str):
    assert find_all_named(touch(tmp_path, *files), names)[1] == missing


def test_one_name_may_be_there_twice(tmp_path: Path):
    assert find_all_named(touch(tmp_path, "1.jpg"), ["x/1.jpg", "x\\1.jpg"]) == ([tmp_path / "1.jpg"] * 2, None)
