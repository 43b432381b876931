"""The version line of the log: revision from the environment or the checkout, torch's version without importing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ymir_detectron2 import __version__
from ymir_detectron2.version import PROJECT_DIR, _git_revision, describe_version

COMMIT = "1a2b3c4d" * 5


def test_everything_that_decides_a_result_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("YMIR_DETECTRON2_REVISION", COMMIT)
    python, cuda = ".".join(map(str, sys.version_info[:3])), torch.version.cuda
    assert describe_version() == (
        f"ymir-detectron2 {__version__} (1a2b3c4), Python {python}, torch {torch.__version__}, CUDA {cuda}"
    )


def test_torch_is_not_imported_for_it():
    code = "from ymir_detectron2.version import describe_version; describe_version(); import sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert "torch" not in found.stdout.split()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ""),
        ({"HEAD": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": COMMIT + "\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "packed-refs": f"# pack-refs\n{COMMIT} refs/heads/main\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main", "packed-refs": f"{COMMIT} refs/heads/other\n"}, ""),
    ],
    ids=["no checkout", "detached", "branch", "packed branch", "unknown branch"],
)
def test_the_revision_of_a_checkout(tmp_path: Path, files: dict[str, str], expected: str):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _git_revision(tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [("HEAD", b"\xff\xfe"), ("HEAD", b"ref: a\0b"), ("packed-refs", b"\xff"), ("refs/heads/main", b"\xff")],
)
def test_a_damaged_checkout_has_no_revision(tmp_path: Path, name: str, content: bytes):
    (tmp_path / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert _git_revision(tmp_path) == ""
