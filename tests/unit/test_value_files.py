"""`@FILE` is the content of a text file: where it is searched, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.config.value_files import MAX_BYTES, with_value_files
from ymir_detectron2.contract.paths import PathMap
from ymir_detectron2.errors import ConfigError


@pytest.fixture
def in_dir(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def expanded(in_dir: Path, value: object, key: str = "args_options") -> object:
    resolve = PathMap.for_env_file(in_dir / "env.yaml").resolve
    return with_value_files({key: value, "max_iter": 3}, resolve)[key]


@pytest.mark.parametrize("name", ["options.txt", "/in/options.txt", "./options.txt", " options.txt "])
def test_a_file_next_to_config_yaml(in_dir: Path, name: str):
    options = "SOLVER.STEPS (60,80)  " + "SOLVER.WEIGHT_DECAY 0.0005 " * 10
    (in_dir / "options.txt").write_text(options + "\n")
    assert expanded(in_dir, "@" + name) == options.strip()
    assert len(options) > 100, "no field of the form would hold it"


def test_a_file_anywhere_by_its_absolute_path_and_one_of_this_project(in_dir: Path, tmp_path: Path):
    weights = tmp_path / "weights.txt"
    weights.write_bytes("\ufeff猫:2,\r\ndog:0.5\r\n".encode())  # as an editor of Windows writes it
    assert expanded(in_dir, f"@{weights}", "class_weights") == "猫:2,\r\ndog:0.5"
    assert expanded(in_dir, "@CPU/retinanet_R_18_FPN_small.yaml").startswith("#")
    (in_dir / "CPU").mkdir()
    (in_dir / "CPU" / "retinanet_R_18_FPN_small.yaml").write_text("the own one comes first")
    assert expanded(in_dir, "@CPU/retinanet_R_18_FPN_small.yaml") == "the own one comes first"


@pytest.mark.parametrize("value", ["", "SOLVER.BASE_LR 0.1", "a@b", None, 5, ["@x"]])
def test_other_values_stay_as_they_are(in_dir: Path, value: object):
    assert expanded(in_dir, value) == value


def test_other_keys_are_no_files(in_dir: Path):
    assert expanded(in_dir, "@me", "prompt") == "@me"
    assert expanded(in_dir, "@a.yaml", "config_file") == "@a.yaml"


def test_a_file_that_names_a_file_is_not_followed(in_dir: Path):
    (in_dir / "a.txt").write_text("@b.txt")
    assert expanded(in_dir, "@a.txt") == "@b.txt"


def test_an_empty_file_is_an_empty_field(in_dir: Path):
    (in_dir / "a.txt").write_text(" \n")
    assert expanded(in_dir, "@a.txt") == ""
    assert read_settings(TrainSettings, {"class_weights": ""}).class_weights == ""


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("", "'@' names no file; write @ and the path of a text file in the container"),
        ("a\nb", "names no file"),
        ("x" * 5000, "names no file"),
        ("x" * 300, "cannot be read (File name too long)"),
        ("missing.txt", "/missing.txt does not exist; write @ and the path of a text file"),
        ("/missing/a.txt", "/missing/a.txt does not exist"),
        ("folder", "/folder cannot be read (Is a directory)"),
        ("fifo", "/fifo cannot be read (Not a regular file)"),
        ("/dev/zero", "/dev/zero cannot be read (Not a regular file)"),
        ("large.txt", "/large.txt cannot be read (Larger than 65536 bytes)"),
        ("latin1.txt", "/latin1.txt is not text in UTF-8; save it as UTF-8"),
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_a_value_is_named_with_its_key(in_dir: Path, name: str, finding: str):
    (in_dir / "folder").mkdir()
    os.mkfifo(in_dir / "fifo")
    (in_dir / "large.txt").write_bytes(b"x" * (MAX_BYTES + 1))
    (in_dir / "latin1.txt").write_bytes("größer".encode("latin1"))
    with pytest.raises(ConfigError) as caught:
        expanded(in_dir, "@" + name, "class_weights")
    sentence = str(caught.value)
    assert sentence.startswith("config.yaml: class_weights: ")
    assert finding in sentence
    assert len(sentence) < 600
    assert "\n" not in sentence
