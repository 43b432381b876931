"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from tests.running import PROJECT_DIR
from ymir_detectron2.atomic_file import atomic_write, remove_abandoned, watch_replacement
from ymir_detectron2.errors import StorageError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(path) as file:
        file.write("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("new" + str(1 / 0))
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["file", "link", "FIFO"])
def test_what_lies_at_the_temporary_name_is_replaced_and_never_written_through(tmp_path: Path, kind: str):
    """A killed process with the same id left it, as in a container; or somebody who knows the id of the next one."""
    path, precious = tmp_path / "monitor.txt", tmp_path / "precious"
    precious.write_text("precious")
    temporary = tmp_path / f".monitor.txt.{os.getpid()}.tmp"
    if kind == "file":
        temporary.write_text("half of an old one")
    elif kind == "link":
        temporary.symlink_to(precious)
    else:
        os.mkfifo(temporary)
    with atomic_write(path) as file:
        file.write("new")
    assert (path.is_symlink(), path.is_file(), path.read_text()) == (False, True, "new")
    assert precious.read_text() == "precious"


def test_a_write_that_the_file_system_refuses_names_the_path(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/monitor.txt: cannot be written"), atomic_write(
        tmp_path / "file" / "monitor.txt"
    ):
        pass


KILLED = """
import os
from pathlib import Path
from ymir_detectron2.atomic_file import atomic_write
with atomic_write(Path({path!r})) as file:
    file.write("new")
    file.flush()
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_has_begun_is_removed_and_nothing_else(tmp_path: Path):
    path = tmp_path / "models" / "a.pth"
    kept = [tmp_path / name for name in (".lock-0", ".a.tmp", "a.7.tmp", ".a.b.tmp", "models/result.yaml")]
    path.parent.mkdir()
    for file in kept:
        file.touch()
    (tmp_path / ".folder.7.tmp").mkdir()
    subprocess.run([sys.executable, "-c", KILLED.format(path=str(path))], cwd=PROJECT_DIR, check=False)
    (abandoned,) = path.parent.glob(".a.pth.*.tmp")
    assert abandoned.read_text() == "new"
    remove_abandoned(tmp_path)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == set(kept)
    assert (tmp_path / ".folder.7.tmp").is_dir()


def write(path: Path, text: str = "same") -> None:
    with atomic_write(path) as file:
        file.write(text)


@pytest.mark.parametrize("writes", [0, 1, 2, 3], ids=lambda count: f"{count} writes")
@pytest.mark.parametrize("exists", [False, True], ids=["new", "over an old file"])
@pytest.mark.parametrize("clock_s", [-86_400, 0, 86_400], ids=["clock behind", "clock right", "clock ahead"])
def test_whether_a_file_was_written_depends_on_no_clock(tmp_path: Path, clock_s: int, exists: bool, writes: int):
    """Times as of a file server, or of a host whose clock is set while the block lasts. Each text is the same."""
    path = tmp_path / "result.yaml"
    if exists:
        write(path)
        os.utime(path, (time.time() - clock_s,) * 2)
    with watch_replacement(path) as is_replaced:
        for _ in range(writes):  # the second write could be given the inode of the old file
            write(path)
            os.utime(path, (time.time() + clock_s,) * 2)
        assert is_replaced() is (writes > 0)


def test_a_file_that_was_removed_was_not_written(tmp_path: Path):
    write(tmp_path / "result.yaml")
    with watch_replacement(tmp_path / "result.yaml") as is_replaced:
        (tmp_path / "result.yaml").unlink()
        assert not is_replaced()
        (tmp_path / "result.yaml").mkdir()
        assert not is_replaced()


def test_a_power_cut_right_after_a_write_leaves_the_new_file(tmp_path: Path):
    """The copy of the disk holds what the file system had written to it by then, as after a power cut."""
    folder = tmp_path / "out"
    with disk_mounted(tmp_path / "disk.img", folder, create=True):
        for content in ("old", "new"):
            with atomic_write(folder / "result.yaml") as file:
                file.write(content)
        shutil.copy(tmp_path / "disk.img", tmp_path / "after.img")
    with disk_mounted(tmp_path / "after.img", tmp_path / "after"):
        assert (tmp_path / "after" / "result.yaml").read_text() == "new"
        assert {path.name for path in (tmp_path / "after").iterdir()} == {"result.yaml", "lost+found"}


@contextlib.contextmanager
def disk_mounted(image: Path, folder: Path, *, create: bool = False) -> Iterator[None]:
    """Mount a file as an ext4 disk; the test is skipped where that is not allowed."""
    folder.mkdir()
    if create:
        with image.open("wb") as file:
            file.truncate(8 << 20)
    commands = [["mkfs.ext4", "-q", str(image)]] if create else []
    commands.append(["mount", "-o", "loop", str(image), str(folder)])
    for command in commands:
        if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"{command[0]} needs more rights than this process has, or is not there")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
