"""The versions of this project, Python, torch and CUDA, for the log. Does not import torch, which takes seconds."""

from __future__ import annotations

import importlib.util
import os
import platform
import runpy
from pathlib import Path

from . import __version__

_PACKAGE_DIR = Path(__file__).resolve().parent
_INSTALLED_DIR = _PACKAGE_DIR / "project"  # where pyproject.toml puts them in a wheel: a checkout has no such folder
PROJECT_DIR = _INSTALLED_DIR if _INSTALLED_DIR.is_dir() else _PACKAGE_DIR.parent
"""Holds start.py, the scripts of the tasks, and configs/: the checkout, or in an installed package a folder within."""
REVISION_VARIABLE = "YMIR_DETECTRON2_REVISION"
"""Set in the image, which has no .git: the commit that it was built from."""


def describe_version() -> str:
    """Return e.g. `ymir-detectron2 0.1.0 (1a2b3c4), Python 3.11.7, torch 2.14.1, CUDA 13.0`."""
    revision = os.environ.get(REVISION_VARIABLE) or _git_revision(PROJECT_DIR / ".git")
    torch_version, cuda_version = _torch_versions()
    return (
        f"ymir-detectron2 {__version__} ({revision[:7] or 'no revision'}), Python {platform.python_version()},"
        f" torch {torch_version}, CUDA {cuda_version}"
    )


def _git_revision(git_dir: Path) -> str:
    """Return the commit of a checkout, '' if there is none."""
    try:
        head = (git_dir / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        reference = head[len("ref: ") :]
        # the file of a branch is newer than its line in packed-refs, and missing after `git gc`
        loose = git_dir / reference
        if loose.exists():
            return loose.read_text().strip()
        packed = (git_dir / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(" " + reference)), "")
    except (OSError, ValueError):  # damaged, too: bytes that are no text
        return ""


def _torch_versions() -> tuple[str, str]:
    """Return the versions of torch and of its CUDA, from the file that torch keeps them in."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "missing", "-"
    facts = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    return str(facts.get("__version__")), str(facts.get("cuda"))
