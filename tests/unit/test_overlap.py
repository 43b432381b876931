"""Images of the training set in the validation set: found by their content, whatever they are called."""

from __future__ import annotations

import os
from pathlib import Path

from ymir_detectron2.dataset.overlap import images_in_both


def files(folder: Path, **contents: bytes) -> dict[str, Path]:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_equal_content_counts_and_neither_name_nor_size(tmp_path: Path):
    training = files(tmp_path / "training", a=b"one", b=b"two", c=b"four", d=b"")
    validation = files(tmp_path / "validation", a=b"six", other=b"two", again=b"two", c=b"fivefive", empty=b"")
    shared = images_in_both(training.values(), validation.values())
    assert sorted(path.name for path in shared) == ["again", "empty", "other"]


def test_one_file_in_both_lists(tmp_path: Path):
    (image,) = files(tmp_path / "images", a=b"one").values()
    assert images_in_both([image], [image]) == [image]


def test_what_cannot_be_read_is_left_out(tmp_path: Path):
    images = files(tmp_path / "images", a=b"one")
    os.mkfifo(tmp_path / "fifo")
    odd = [tmp_path / "missing", tmp_path, tmp_path / "fifo", Path("nul\0"), images["a"]]
    assert images_in_both(odd, odd) == [images["a"]]


def test_files_that_only_begin_alike_are_different(tmp_path: Path):
    """As uncompressed images with one background: of equal size, and read to their ends."""
    begin = bytes(100_000)
    training = files(tmp_path / "training", a=begin + b"1", b=begin + b"2")
    validation = files(tmp_path / "validation", same=begin + b"2", other=begin + b"3", shifted=b"2" + begin)
    assert images_in_both(training.values(), validation.values()) == [validation["same"]]
