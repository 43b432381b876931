"""Names of images in annotations: those that the user knows, and none that leads anywhere else."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from ymir_detectron2.annotation_export.own_names import names_by_stem, own_names


def test_folders_come_back_where_images_are_in_several():
    sources = {"line1_a.jpg": "/data/pool/line1/a.jpg", "line2_a.jpg": "/data/pool/line2/a.jpg"}
    assert {name: str(own) for name, own in own_names(list(sources), sources).items()} == {
        "line1_a.jpg": "line1/a.jpg", "line2_a.jpg": "line2/a.jpg",
    }  # fmt: skip


def test_images_of_one_folder_have_their_names_only():
    sources = {"a.jpg": "/data/血/a.jpg", "b c.png": "/data/血/b c.png"}
    assert [str(own) for own in own_names(list(sources), sources).values()] == ["a.jpg", "b c.png"]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.jpg", "\"quoted\" 'name'.jpg", "血 细胞.jpg", "../up.jpg", "/etc/passwd", "a\nb.jpg",
        "..", ".", "", "a\x1b[2Jb.jpg", "\u202egnp.jpg", "\udcff.jpg", "x" * 400, "-rf.jpg",
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_known", [False, True])
def test_a_hostile_name_stays_in_the_folder_and_on_one_line(name: str, is_known: bool):
    sources = {name: f"/data/{name}"} if is_known else {}
    own = own_names([name], sources)[name]
    assert not own.is_absolute()
    assert not {"..", ""} & set(own.parts)
    assert own.parts
    assert str(own).isprintable()


@pytest.mark.parametrize("name", ["<b>.jpg", "\"quoted\" 'name'.jpg", "血 细胞.jpg", "a:b*.jpg"])
def test_a_name_that_a_file_can_have_is_kept(name: str):
    assert own_names([name], {})[name] == own_names([name], {name: f"/data/{name}"})[name] == PurePosixPath(name)


@pytest.mark.parametrize("source", [7, None, "relative.jpg", "/data/../../x.jpg", "/data/a\nb.jpg"])
def test_a_source_that_is_no_plain_path_is_not_used(source: object):
    assert own_names(["a.jpg"], {"a.jpg": source}) == {"a.jpg": PurePosixPath("a.jpg")}  # type: ignore[dict-item]


def test_names_that_become_the_same_are_numbered():
    names = ["x/a.jpg", "y/a.jpg", "A.jpg"]  # not of this project, which writes base names
    assert [str(own) for own in own_names(names, {}).values()] == ["a.jpg", "a_2.jpg", "A_3.jpg"]


def test_stems_are_unique_and_folders_of_a_layout_are_left_out():
    names = [PurePosixPath(name) for name in ("train/images/1.jpg", "train/1.png", "img/1.jpg", "2.jpg")]
    assert [str(name) for name in names_by_stem(names)] == ["train/1.jpg", "train/1_2.png", "1.jpg", "2.jpg"]
