"""Assets: named by the SHA-1 and the format of their content, stored once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.annotated_sets import grey_image
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.tools import assets as assets_module
from ymir_detectron2.tools.assets import place_file, read_asset, store_assets
from ymir_detectron2.tools.releases import find_release

NEWEST, FIRST = find_release("2.5.0"), find_release("1.1.0")


@pytest.mark.parametrize(
    ("name", "saved_as", "extension", "first_extension"),
    [
        pytest.param("a.jpg", "jpg", "jpg", "jpeg", id="jpeg"),
        pytest.param("a.png", "png", "png", "png", id="png"),
        pytest.param("a.jpg", "bmp", "bmp", None, id="a bitmap under another name"),
        pytest.param("a.tiff", "tiff", "unknown", None, id="tiff"),
        pytest.param("a.JPEG", None, "jpg", "jpeg", id="not an image, with the extension of one"),
        pytest.param("a.txt", None, "unknown", None, id="not an image"),
    ],
)
def test_the_extension_is_that_of_the_content(
    tmp_path: Path, name: str, saved_as: str | None, extension: str, first_extension: str | None
):
    path = tmp_path / name
    if saved_as is None:
        path.write_text("text")
    else:
        grey_image(tmp_path / f"saved.{saved_as}", 5).rename(path)
    asset, first = read_asset(path, NEWEST), read_asset(path, FIRST)
    assert asset is not None
    assert asset.name == f"{hashlib.sha1(path.read_bytes()).hexdigest()}.{extension}"  # noqa: S324 - a name
    assert (first and first.extension) == first_extension


def test_the_folder_of_an_asset_is_the_end_of_its_name(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"")
    asset = read_asset(tmp_path / "a.jpg", NEWEST)
    assert asset is not None
    sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"  # of nothing
    assert asset.path_below("/in/assets") == f"/in/assets/09/{sha1}.jpg"
    assert asset.path_below("/in/annotations/.", "txt") == f"/in/annotations/./09/{sha1}.txt"


def test_images_with_the_same_bytes_are_stored_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    images = [grey_image(tmp_path / f"{number}.png", shade) for number, shade in enumerate((9, 5, 9))]
    stored = store_assets(images, tmp_path / "assets", NEWEST)
    assert [asset.source for asset in stored] == images[:2]
    assert [Path(asset.path_below(str(tmp_path / "assets"))).read_bytes() for asset in stored] == [
        image.read_bytes() for image in images[:2]
    ]
    assert caplog.messages == ["left out 1 of 3 images: same bytes as another image"]


def test_own_names_are_kept_and_so_are_images_with_the_same_bytes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    images = [grey_image(tmp_path / name, 9) for name in ("a/1.png", "b/1.png")]
    own_names = {images[0]: "a_1.png", images[1]: "b_1.png"}
    stored = store_assets([*images, images[0]], tmp_path / "assets", NEWEST, own_names=own_names)
    assert [asset.path_below("/in/assets") for asset in stored] == ["/in/assets/a_1.png", "/in/assets/b_1.png"]
    assert stored[0].path_below("/in/annotations/train", "txt") == "/in/annotations/train/a_1.png.txt"
    assert sorted(file.name for file in (tmp_path / "assets").iterdir()) == ["a_1.png", "b_1.png"]
    assert caplog.messages == ["left out 1 of 3 images: listed twice"]


def test_formats_that_a_release_does_not_export_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    images = [grey_image(tmp_path / name, 5) for name in ("a.bmp", "b.png")]
    assert [asset.source for asset in store_assets(images, tmp_path / "assets", FIRST)] == images[1:]
    assert caplog.messages == ["left out 1 of 2 images: format not exported by YMIR 1.1.0"]


def test_a_missing_image_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"gone\.jpg: cannot be read \(No such file.*; correct the list of images"):
        store_assets([tmp_path / "gone.jpg"], tmp_path / "assets", NEWEST)


def test_files_are_linked_and_copied_where_links_are_not_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "a"
    source.write_text("content")
    place_file(source, tmp_path / "deep" / "linked", tmp_path)
    assert (tmp_path / "deep" / "linked").samefile(source)

    def refuse(*paths: str) -> None:
        raise OSError(18, "Invalid cross-device link", *paths[:1])

    monkeypatch.setattr(assets_module.os, "link", refuse)
    place_file(source, tmp_path / "copied", tmp_path)
    assert not os.path.samefile(source, tmp_path / "copied")  # noqa: PTH121
    assert (tmp_path / "copied").read_text() == "content"
    source.write_text("other")
    place_file(source, tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "content", "a file that exists is kept"


@pytest.mark.parametrize("how", ["another folder", "a link in the folder", "a folder that is a link", "no folder"])
def test_no_hard_link_is_made_to_a_file_outside_of_the_given_folder(tmp_path: Path, how: str):
    """A container with a writable /in would change the original through it."""
    given, outside = tmp_path / "given", tmp_path / "outside"
    given.mkdir()
    outside.mkdir()
    original = outside / "a"
    original.write_text("content")
    (given / "link").symlink_to(original)
    (given / "folder").symlink_to(outside)
    links = {"a link in the folder": given / "link", "a folder that is a link": given / "folder" / "a"}
    place_file(links.get(how, original), tmp_path / "task" / "a", None if how == "no folder" else given)
    assert (tmp_path / "task" / "a").read_text() == "content"
    assert not (tmp_path / "task" / "a").is_symlink()
    assert original.stat().st_nlink == 1


def test_a_fifo_is_neither_read_nor_placed(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(DatasetError, match=r"a\.jpg: cannot be read \(Not a regular file\)"):
        store_assets([tmp_path / "a.jpg"], tmp_path / "assets", NEWEST)
    with pytest.raises(OSError, match="Not a regular file"):
        place_file(tmp_path / "a.jpg", tmp_path / "b.jpg")
