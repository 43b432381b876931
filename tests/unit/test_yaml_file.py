"""YAML as plain data: whatever a file holds, it is either plain values or one error with its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.yaml_file import NotYamlError, load_yaml, load_yaml_mapping, parse_yaml


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


def bomb(first: str, level: str, levels: int) -> str:
    """`a` is `first`; each next anchor is `level` with nine references to the one before."""
    names = "abcdefghijklmnopqrstuvwxyz"[: levels + 1]
    lines = [f"a: &a {first}"]
    for before, name in zip(names, names[1:]):
        lines.append(f"{name}: &{name} " + level.format(*[f"*{before}"] * 9))
    return "\n".join(lines)


MAPPING = "{{k0: {}, k1: {}, k2: {}, k3: {}, k4: {}, k5: {}, k6: {}, k7: {}, k8: {}}}"
LIST = "[{}, {}, {}, {}, {}, {}, {}, {}, {}]"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(bomb("[x, x]", LIST, 9), "more than 100000 values", id="a billion words by lists"),
        pytest.param(bomb("{x: 1}", MAPPING, 9), "more than 100000 values", id="by mappings"),
        pytest.param(bomb("{x: 1}", f"{{{{<<: {LIST}}}}}", 9), "more than 100000 values", id="by merge keys"),
        pytest.param("[" + "a," * 100_000 + "]", "more than 100000 values", id="a hundred thousand words"),
        pytest.param("a: " + "x" * (4 << 20), "longer than 4194304 characters", id="more than four megabytes"),
        pytest.param("a: &a [*a]", "nested more than 50 levels deep", id="a circle"),
        pytest.param("[" * 60 + "]" * 60, "nested more than 50 levels deep", id="sixty levels"),
        pytest.param("a: 1" + ":1" * 60_000, "a number of 120001 characters", id="a number to the base 60"),
        pytest.param("a: 0x" + "f" * 5000, "a number of 5002 characters", id="too many digits to be printed"),
        pytest.param("a: !!int x", "invalid literal for int", id="text as a number"),
        pytest.param("a: !!bool x", "", id="text as a truth value"),
        pytest.param("a: !!timestamp x", "", id="text as a date"),
        pytest.param("a: !!" + "x" * 5000 + " 1", "could not determine", id="a tag of five thousand characters"),
    ],
)
def test_what_is_out_of_bounds_is_an_error_of_one_line_and_moderate_length(tmp_path: Path, content: str, problem: str):
    """Printing, flattening or copying the first three would take hours and all memory."""
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(NotYamlError) as failure:
        load_yaml(tmp_path / "a.yaml")
    assert problem in failure.value.problem
    assert len(str(failure.value)) <= 300
    assert "\n" not in str(failure.value)
    with pytest.raises(ConfigError, match=r"a\.yaml: is not YAML"):
        load_yaml_mapping(tmp_path / "a.yaml", ConfigError, "write another")


def test_anchors_of_a_sane_size_are_read(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: [*a, *a]}\n" + "c: [" + "name, " * 40_000 + "]")
    content = load_yaml(tmp_path / "a.yaml")
    assert content["b"] == {"x": 1, "y": [{"x": 1}, {"x": 1}]}
    assert len(content["c"]) == 40_000


@pytest.mark.parametrize("target", ["fifo", "/dev/zero", "/dev/tty"])
def test_only_regular_files_are_read(tmp_path: Path, target: str):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a.yaml").symlink_to(target)
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read \(.*\); write another$"):
        load_yaml_mapping(tmp_path / "a.yaml", ConfigError, "write another")


def test_text_is_read_like_a_file():
    assert parse_yaml("[1, x]") == [1, "x"]
    with pytest.raises(NotYamlError, match="more than 100000 values"):
        parse_yaml(bomb("[x]", LIST, 9))


@pytest.mark.parametrize("text", ['"\\0"', '["\\ud800"]', '{"\\udfff": 1}', '"\\ud83d\\ude00"'])
def test_an_escape_for_what_is_no_character_is_refused(text: str):
    with pytest.raises(NotYamlError, match="an escape that stands for no character"):
        parse_yaml(text)
    assert parse_yaml('"\\U0001F600"') == "\U0001F600"
