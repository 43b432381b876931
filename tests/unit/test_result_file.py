"""JSON files of an output folder that anybody may have written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.evaluation.result_file import Part, parse_result_file


class Numbers(Part):
    values: List[int]


def test_it_reads_what_it_writes(tmp_path: Path):
    numbers = Numbers(values=[1, 2, 3])
    (tmp_path / "a.json").write_bytes(numbers.as_bytes())
    assert parse_result_file(tmp_path / "a.json", Numbers, 100) == numbers


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b'{"values": [1.5]}', b'{"values": ["\xff"]}', b"[" * 50_000, b"\xff\xfe",
     b'{"values": [1]}' + b" " * 99],
)  # fmt: skip
def test_anything_else_is_one_sentence(tmp_path: Path, content: bytes):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ExecutorError) as caught:
        parse_result_file(path, Numbers, 100)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_pipe_and_a_folder_are_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").mkdir()
    for name in ("a.json", "b.json"):
        with pytest.raises(ExecutorError, match="cannot be read"):
            parse_result_file(tmp_path / name, Numbers, 100)
