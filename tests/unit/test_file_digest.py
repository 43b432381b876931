"""Digests of files of any size, by hashlib's names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ymir_detectron2.file_digest import file_digest, stream_digest


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 10_000], ids=["empty", "short", "several chunks"])
def test_a_digest_is_that_of_the_whole_content(tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_digest(path) == hashlib.sha256(content).hexdigest()
    for algorithm in ("md5", "sha1"):
        assert file_digest(path, algorithm) == hashlib.new(algorithm, content).hexdigest()


def test_a_known_value(tmp_path: Path):
    """FIPS 180-2, appendix B.1."""
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_open_file_is_read_from_its_position_on(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"xxabc")
    with (tmp_path / "file").open("rb") as file:
        file.seek(2)
        assert stream_digest(file) == hashlib.sha256(b"abc").hexdigest()


def test_a_missing_file_is_the_callers_business(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "nowhere")
