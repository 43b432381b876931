"""YAML as plain data: whatever a file holds, it is either plain values or one error with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.yaml_file import NotYamlError, load_yaml, load_yaml_mapping


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b"3", 3),
        (b"a: [1, x, 2.5, null, true]", {"a": [1, "x", 2.5, None, True]}),
        (b"\xef\xbb\xbfa: 1", {"a": 1}),
        ("名: 猫".encode(), {"名": "猫"}),
    ],
    ids=["empty", "number", "mapping", "byte order mark", "Chinese"],
)
def test_plain_values(tmp_path: Path, content: bytes, expected: Any):
    (tmp_path / "a.yaml").write_bytes(content)
    assert load_yaml(tmp_path / "a.yaml") == expected


@pytest.mark.parametrize(
    ("content", "line", "problem", "is_tag"),
    [
        (b"a: 1\nb: [1\nc: 2", 3, "expected ',' or ']', but got ':'", False),
        (b"a: 1\n\tb: 2", 2, "found character '\\t' that cannot start any token", False),
        (b"a: \x07", None, "unacceptable character #x0007: special characters are not allowed", False),
        (b"a: caf\xe9", None, "'utf-8' codec can't decode byte 0xe9", False),
        (b"a: 2020-13-45", None, "month must be in 1..12", False),
        (b"a: " + b"[" * 5000, None, "maximum recursion depth exceeded", False),
        (b"a: 1\nb: !!python/tuple [1]", 2, "could not determine a constructor for the tag", True),
    ],
    ids=["bracket", "tab", "control character", "not UTF-8", "impossible date", "nested too deeply", "tag"],
)
def test_what_is_not_yaml_has_a_place_and_a_problem(
    tmp_path: Path, content: bytes, line: int | None, problem: str, is_tag: bool
):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(NotYamlError) as failure:
        load_yaml(tmp_path / "a.yaml")
    assert failure.value.line == line
    assert failure.value.problem.startswith(problem)
    assert failure.value.is_tag is is_tag
    assert "\n" not in str(failure.value)
    with pytest.raises(ConfigError, match=r"a\.yaml: is not YAML \(.*\); write another$"):
        load_yaml_mapping(tmp_path / "a.yaml", ConfigError, "write another")


def test_a_tag_runs_nothing(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{tmp_path / 'created'}']")
    with pytest.raises(NotYamlError):
        load_yaml(tmp_path / "a.yaml")
    assert not (tmp_path / "created").exists()


def test_a_mapping_is_demanded_in_the_words_of_the_caller(tmp_path: Path):
    path = tmp_path / "a.yaml"
    with pytest.raises(ModelError, match=r"a\.yaml: cannot be read \(No such file or directory\); export it again$"):
        load_yaml_mapping(path, ModelError, "export it again")
    path.write_text("- 1")
    with pytest.raises(ModelError, match=r"a\.yaml: expected 'key: value' pairs, found list; export it again$"):
        load_yaml_mapping(path, ModelError, "export it again")
    path.write_text("a: 1")
    assert load_yaml_mapping(path, ModelError, "") == {"a": 1}
