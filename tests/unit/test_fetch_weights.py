"""Published weights for a Docker image: names are parsed, and files that are there already are checked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.fetch_weights import PUBLISHED, chosen_names

PROJECT_DIR = Path(__file__).resolve().parents[2]


def fetch(names: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ymir_detectron2.tools.fetch_weights", "--into", str(folder), names]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("none", [], id="none on purpose"),
        pytest.param("all", list(PUBLISHED), id="all"),
        pytest.param("coco-R-50-1x, imagenet-R-50", ["coco-R-50-1x", "imagenet-R-50"], id="some, with a blank"),
    ],
)
def test_names_are_parsed(text, expected):
    assert chosen_names(text) == expected


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no weights called 'R-18'; choose all, none or of imagenet-R-50"):
        chosen_names("R-18")


def test_the_checksum_of_a_file_that_is_there_already_is_printed(tmp_path):
    file = tmp_path / "ImageNetPretrained" / "MSRA" / "R-50.pkl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    run = fetch("imagenet-R-50", tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{hashlib.sha256(b'weights').hexdigest()}  imagenet-R-50\n"


def test_a_wrong_name_ends_with_one_sentence(tmp_path):
    run = fetch("R-18", tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("fetch_weights: there are no weights called 'R-18'")
    assert "Traceback" not in run.stderr
