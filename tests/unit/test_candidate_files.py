"""Candidates: a folder, a list, a COCO file with or without annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.annotated_sets import grey_image, write_text
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.candidate_files import find_candidates


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("images/a.png", "images/b/c.JPG")):
        grey_image(tmp_path / name, number)
    (tmp_path / "images" / "a.json").write_text("{}")
    return tmp_path


def names(path: Path, folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in find_candidates(path)]


def test_all_images_of_a_folder(folder: Path):
    assert names(folder / "images", folder) == ["images/a.png", "images/b/c.JPG"]


def test_a_single_image(folder: Path):
    assert names(folder / "images" / "a.png", folder) == ["images/a.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_paths(folder: Path, encoding: str):
    text = "images/a.png\tignored\r\n\r\nimages\\b\\c.JPG\r\n"
    assert names(write_text(folder / "list.txt", text.encode(encoding)), folder) == ["images/a.png", "images/b/c.JPG"]


@pytest.mark.parametrize("name", ["a.json", "annotations/image_info_test2017.json"])
def test_a_coco_file_without_annotations(folder: Path, name: str):
    content = {"images": [{"id": 1, "file_name": "b/c.JPG"}, {"id": 2, "file_name": "a.png"}], "categories": []}
    assert names(write_text(folder / name, json.dumps(content)), folder) == ["images/b/c.JPG", "images/a.png"]


def test_what_holds_no_images_is_named(folder: Path):
    (folder / "empty").mkdir()
    for path in (folder / "empty", write_text(folder / "list.txt", "\n")):
        with pytest.raises(DatasetError, match="lists no images; give a folder of images"):
            find_candidates(path)
    with pytest.raises(ConfigError, match=r"gone\.txt: cannot be read .*; give a folder of images, an image, a list"):
        find_candidates(folder / "gone.txt")


@pytest.mark.parametrize("name", ["a\0b", "x/" * 3000])
def test_a_line_that_can_be_no_path_is_named(folder: Path, name: str):
    index = write_text(folder / "list.txt", f"images/a.png\n{name}\n")
    with pytest.raises(DatasetError, match=r"^.*list\.txt:2: '[^\n]*' cannot be a path; correct the line$") as error:
        find_candidates(index)
    assert len(str(error.value)) < 1000


def test_a_name_that_is_too_long_is_left_to_who_opens_it(folder: Path):
    long = "images\\" + "x" * 300
    assert names(write_text(folder / "list.txt", long), folder) == ["images/" + "x" * 300]
