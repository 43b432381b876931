"""The size of a tar, estimated before it is written."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from ymir_detectron2.contract.import_limit import IMPORT_LIMIT_BYTES, tar_bytes


@pytest.mark.parametrize("sizes", [[], [0], [1, 511, 512, 513], [3_000_000] * 3])
def test_a_tar_is_never_larger_and_hardly_smaller(tmp_path: Path, sizes: list[int]):
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        for number, size in enumerate([*sizes, 20_000]):  # the last one is ymir-info.yaml
            file = tmp_path / f"file{number}"
            file.write_bytes(bytes(size))
            archive.add(file, file.name)
    written = (tmp_path / "model.tar").stat().st_size
    assert written <= tar_bytes(sizes) < written + (1 << 16)


def test_the_limit_is_below_that_of_the_page():
    assert IMPORT_LIMIT_BYTES / 1024 / 1024 < 1024
