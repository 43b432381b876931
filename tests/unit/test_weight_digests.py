"""Pins of published weights: read, written, and held against a file; the tool sha256sum reads the same file."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.retinanet import weight_digests
from ymir_detectron2.retinanet.weight_digests import PINS_FILE, check_digest, read_pins, write_pins

NAME = "ImageNetPretrained/MSRA/R-50.pkl"
CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pins_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let another file take the pins, which begins as the project's own does."""
    file = tmp_path / "weights.sha256"
    shutil.copyfile(PINS_FILE, file)
    monkeypatch.setattr(weight_digests, "PINS_FILE", file)
    return file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "folder" / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return file


def test_the_pins_of_the_project_are_readable():
    assert all(name.endswith(".pkl") for name in read_pins())


def test_a_pinned_file_must_be_exactly_that_file(pins_file, weights):
    write_pins({NAME: SHA256})
    assert check_digest(weights, NAME) == "the pinned SHA-256"
    weights.write_bytes(b"weightt")
    with pytest.raises(ModelError, match=f"{weights}: is damaged or was changed: .*, pinned is {SHA256}"):
        check_digest(weights, NAME)


def test_of_a_file_without_pin_and_digits_nothing_is_known(pins_file, weights):
    assert check_digest(weights, NAME) == ""


def test_the_digits_of_a_zoo_name_are_those_of_its_md5(weights):
    digits = hashlib.md5(CONTENT).hexdigest()[:6]  # noqa: S324 - as detectron2 names its files
    assert check_digest(weights, f"COCO-Detection/x/1/model_final_{digits}.pkl") == "the first digits of its MD5"
    with pytest.raises(ModelError, match=f"its MD5 begins {digits}, expected bfca0b"):
        check_digest(weights, "COCO-Detection/x/1/model_final_bfca0b.pkl")


def test_written_pins_are_read_and_the_comment_stays(pins_file):
    pins = {"b.pkl": "1" * 64, NAME: SHA256}
    write_pins(pins)
    assert read_pins() == pins
    first, *_ = pins_file.read_text(encoding="utf-8").splitlines()
    assert first == PINS_FILE.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# SHA-256")


def test_sha256sum_reads_the_pins(pins_file, weights):
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    write_pins({NAME: SHA256})
    command = ["sha256sum", "--check", "--strict", str(pins_file)]
    folder = weights.parents[2]
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 0
    weights.write_bytes(b"weightt")
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 1


@pytest.mark.parametrize("line", ["0123  R-50.pkl", "0" * 64 + " R-50.pkl", "0" * 64, "R-50.pkl"])
def test_a_pin_that_cannot_be_read_is_an_error_and_not_no_pin(pins_file, line):
    pins_file.write_text(f"# a comment\n\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"weights.sha256:3: expected '<SHA-256>  <file>'"):
        read_pins()
