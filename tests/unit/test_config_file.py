"""Configuration files in detectron2's form: bases, and what is refused, with the place."""

from __future__ import annotations

import os

import pytest

from ymir_detectron2.config.config_file import OWN_CONFIGS, find_config, read_values
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.yaml_file import load_yaml


@pytest.fixture
def write(tmp_path):
    """Write a file below tmp_path and return its path."""

    def write_text(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


def test_a_file_wins_over_its_base_and_a_later_base_over_an_earlier_one(write):
    write("a.yaml", "SOLVER: {BASE_LR: 0.1, MAX_ITER: 1}\nSEED: 1\n")
    write("b.yaml", "SOLVER: {MAX_ITER: 2}\nSEED: 2\n")
    values = read_values(write("c.yaml", "_BASE_: [a.yaml, b.yaml]\nSEED: 3\n"))
    assert values == {"SOLVER.BASE_LR": 0.1, "SOLVER.MAX_ITER": 2, "SEED": 3}


def test_bases_in_a_circle_are_an_error(write):
    write("a.yaml", "_BASE_: b.yaml\n")
    with pytest.raises(ConfigError, match="_BASE_ leads back to"):
        read_values(write("b.yaml", "_BASE_: a.yaml\n"))


def test_a_python_tag_runs_nothing_and_names_file_and_line(write, tmp_path):
    victim = tmp_path / "created"
    call = f"!!python/object/apply:os.system ['touch {victim}']"
    path = write("evil.yaml", f"SEED: 1\nMODEL:\n  WEIGHTS: {call}\n")
    with pytest.raises(ConfigError) as failure:
        read_values(path)
    assert str(failure.value).startswith(f"{path}, line 3: ")
    assert "write plain values instead" in str(failure.value)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("", "found NoneType", id="empty"),
        pytest.param("- 1\n- 2\n", "found list", id="a list"),
        pytest.param("A: [1\nB: 2\n", "line 2: not YAML", id="a bracket left open"),
        pytest.param("A: \x07\n", "not YAML", id="a control character"),
        pytest.param("SEED: 2020-13-45\n", r"not YAML \(month must be in 1..12\)", id="an impossible date"),
        pytest.param("A: " + "[" * 5000, r"not YAML \(maximum recursion depth", id="nested too deeply"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(write, text, finding):
    path = write("bad.yaml", text)
    with pytest.raises(ConfigError, match=finding) as failure:
        read_values(path)
    assert str(path) in str(failure.value)


def test_a_missing_file_is_answered_with_names_like_it(write, tmp_path):
    write("retinanet_R_50.yaml", "SEED: 1\n")
    with pytest.raises(ConfigError, match=r"no such file; .* holds retinanet_R_50\.yaml"):
        read_values(tmp_path / "retinanet_R50.yaml")


def test_a_missing_base_names_the_file_that_wants_it(write):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file, named as _BASE_ by .*child\.yaml"):
        read_values(write("child.yaml", "_BASE_: nowhere.yaml\n"))


def test_a_lazy_config_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="lazy config is Python code"):
        read_values(tmp_path / "retinanet.py")


@pytest.mark.parametrize("base", ["3", "null", "[a.yaml, 3]", "'https://example.com/a.yaml'"])
def test_a_base_is_a_file_name(write, base):
    write("a.yaml", "SEED: 1\n")
    path = write("b.yaml", f"_BASE_: {base}\n")
    with pytest.raises(ConfigError, match="expected a file name relative to this file"):
        read_values(path)


def test_a_base_is_found_by_its_name_among_this_projects_configs_unless_it_lies_next_to_the_file(write, tmp_path):
    name = "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    of_project = read_values(OWN_CONFIGS / name)
    for written in (name, f"configs/{name}"):
        assert read_values(write("a.yaml", f"_BASE_: {written}\nSEED: 3\n")) == {**of_project, "SEED": 3}
    assert read_values(write("b.yaml", "_BASE_: ../Base-RetinaNet.yaml\n")) == read_values(
        OWN_CONFIGS / "Base-RetinaNet.yaml"
    ), "as in a file that was copied out of the zoo"
    (tmp_path / "COCO-Detection").mkdir()
    write(name, "SEED: 1\n")
    assert read_values(write("c.yaml", f"_BASE_: {name}\n")) == {"SEED": 1}


def test_a_base_is_found_by_its_name_in_the_zoo_of_an_engine_that_reads_it(write, tmp_path):
    (tmp_path / "zoo").mkdir()
    write("zoo/faster_rcnn.yaml", "_BASE_: base.yaml\nSEED: 1\n")
    write("zoo/base.yaml", "VERSION: 2\nSEED: 0\n")
    (tmp_path / "own").mkdir()
    own = write("own/a.yaml", "_BASE_: faster_rcnn.yaml\n")
    assert read_values(own, zoo=[tmp_path / "zoo"]) == {"VERSION": 2, "SEED": 1}
    with pytest.raises(ConfigError, match=r"no such file, named as _BASE_ by .*; configs of detectron2 need engine: d"):
        read_values(own)
    with pytest.raises(ConfigError, match=r"no such file, named as _BASE_ by .* holds a\.yaml$"):
        read_values(own, zoo=[])


def test_another_reader_of_yaml_reads_every_file(write):
    write("a.yaml", "SEED: 1\n")
    path, read = write("b.yaml", "_BASE_: a.yaml\n"), []

    def load(file):
        read.append(file.name)
        return load_yaml(file)

    assert read_values(path, load=load) == {"SEED": 1}
    assert read == ["b.yaml", "a.yaml"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("a.yaml", "one/a.yaml", id="the first folder that has it"),
        pytest.param("b/c.yaml", "two/b/c.yaml", id="in a later one"),
        pytest.param("configs/b/c.yaml", "two/b/c.yaml", id="with detectron2's folder in front"),
        pytest.param("../b/c.yaml", "two/b/c.yaml", id="as a zoo file names its base"),
        pytest.param("nowhere.yaml", None, id="nowhere"),
        pytest.param("b", None, id="a folder"),
        pytest.param("a" * 300, None, id="longer than names may be"),
        pytest.param("a\0.yaml", None, id="no file system has it"),
    ],
)
def test_a_config_is_found_by_its_name(write, tmp_path, name, expected):
    for folder in ("one", "two/b"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("one/a.yaml", "two/a.yaml", "two/b/c.yaml"):
        write(file, "")
    found = find_config(name, [tmp_path / "one", tmp_path / "two"])
    assert found == (tmp_path / expected if expected else None)


def test_keys_are_not_checked_here(write):
    assert read_values(write("a.yaml", "A: {B: [1]}\nC.D: x\n")) == {"A.B": [1], "C.D": "x"}


@pytest.mark.parametrize("bases", [1, 9], ids=["a long way down", "nine bases each, which are 43 million"])
def test_a_configuration_of_more_than_a_hundred_files_is_refused(write, bases):
    for level in range(300 if bases == 1 else 8):
        write(f"{level}.yaml", f"_BASE_: [{', '.join([f'{level + 1}.yaml'] * bases)}]")
    write("8.yaml" if bases == 9 else "300.yaml", "SEED: 1")
    with pytest.raises(ConfigError, match=r"is file number 101 of one configuration; name fewer as _BASE_"):
        read_values(write("first.yaml", "_BASE_: 0.yaml"))


@pytest.mark.parametrize("base", ["fifo", "/dev/zero"])
def test_a_base_that_is_no_file(write, tmp_path, base):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=r"cannot be read \(Not a regular file\)"):
        read_values(write("a.yaml", f"_BASE_: {base}"))
