"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.atomic_file import atomic_write
from ymir_detectron2.errors import StorageError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(path) as file:
        file.write("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("new" + str(1 / 0))
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_the_file_system_refuses_names_the_path(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/monitor.txt: cannot be written"), atomic_write(
        tmp_path / "file" / "monitor.txt"
    ):
        pass
