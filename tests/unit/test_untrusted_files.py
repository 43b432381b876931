"""Files that data names: only regular ones are opened, and only below their folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ymir_detectron2.untrusted_files import (
    is_file,
    is_path,
    is_within,
    open_own,
    open_regular,
    path_below,
    read_regular,
)


def test_a_regular_file_is_opened_also_through_a_link(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "link to a FIFO"])
def test_what_could_block_or_never_end_is_refused_at_once(tmp_path: Path, kind: str):
    path = tmp_path / "a"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "fifo")
        path.symlink_to("fifo")
    with pytest.raises(OSError, match=r"Not a regular file|No such device") as failure:
        open_regular(path)
    assert failure.value.filename is not None


def test_a_folder_and_a_missing_file_have_their_usual_errors(tmp_path: Path):
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")


def test_a_refused_file_leaves_no_descriptor_open(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        with pytest.raises(OSError, match="Not a regular file"):
            open_regular(tmp_path / "fifo")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("mode", ["ab", "r+b", "wb"])
@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_own_files_are_never_written_through_what_others_put_there(tmp_path: Path, kind: str, mode: str):
    path, precious = tmp_path / "own", tmp_path / "precious"
    precious.write_text("precious")
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError), open(path, mode, buffering=0, opener=open_own):  # noqa: PT011 - ELOOP, ENXIO and others
        pass
    assert precious.read_text() == "precious"


def test_an_own_file_is_made_for_everybody_as_open_does(tmp_path: Path):
    with open(tmp_path / "own", "ab", opener=open_own) as file:
        file.write(b"content")
    (tmp_path / "other").touch()
    assert (tmp_path / "own").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, a link that stays in it, links that lead out, and a circle."""
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "folder-2").mkdir()
    for path in (folder / "deep" / "a", tmp_path / "outside", tmp_path / "folder-2" / "a"):
        path.write_text("content")
    (folder / "inner").symlink_to("deep/a")
    (folder / "outer").symlink_to(tmp_path / "outside")
    (folder / "outer_folder").symlink_to("../folder-2")
    (folder / "circle").symlink_to("circle")
    return folder


@pytest.mark.parametrize("name", ["a", "deep/a", "deep/new/b", "./deep/./a", "inner", "..a", "a..b", "a b", "é"])
def test_names_below_a_folder(folder: Path, name: str):
    assert path_below(folder, name) == folder / name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../outside", "deep/../../outside", "deep/../inner", "/etc/passwd", "outer", "outer_folder/a",
        "../folder-2/a", "circle", "a\0b", "x" * 5000, "\ud800" * 2,
    ],
    ids=range(14),
)  # fmt: skip
def test_names_that_lead_anywhere_else(folder: Path, name: str):
    assert path_below(folder, name) is None


def test_the_folder_itself_may_be_a_link(folder: Path):
    """As the platform mounts /in/assets."""
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert path_below(link, "deep/a") == link / "deep" / "a"
    assert is_within(link / "inner", link)
    assert is_within(folder / "inner", link)
    assert not is_within(link / "outer", link)
    assert not is_within(folder.parent / "folder-2" / "a", folder)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300, "x/" * 3000])
def test_a_name_that_no_file_can_have_is_an_error_of_the_system(name: str):
    with pytest.raises(OSError, match=r"Not a file name|File name too long"):
        open_regular(Path(name))
    assert not is_file(Path(name))


def test_a_file_is_read_up_to_its_limit(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="Larger than 4 bytes"):
        read_regular(tmp_path / "a", 4)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/in/a b.jpg", True), ("猫/\u3000.jpg", True), ("a\udcff.jpg", True), ("a\tb", True), ("x" * 4096, True),
        ("", False), ("a\n", False), ("\x85", False), ("a\u2028b", False), ("a\0", False), ("x" * 4097, False),
        (5, False), (None, False), (["a"], False),
    ],
)  # fmt: skip
def test_what_can_be_a_path(value: object, expected: bool):
    assert is_path(value) is expected
