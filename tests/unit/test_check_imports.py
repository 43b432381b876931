"""The import proof of the image, on packages that are broken in the ways that it exists to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ymir_detectron2.tools import check_imports
from ymir_detectron2.tools.check_imports import Import, failure_of, imports_of, project_modules


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one script and one package, which can be imported."""
    monkeypatch.setattr(check_imports, "PROJECT_DIR", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "ymir_detectron2" / "room"
    package.mkdir(parents=True)
    (tmp_path / "start.py").write_text("import sys\n")
    (tmp_path / "ymir_detectron2" / "__init__.py").touch()
    (package / "__init__.py").touch()
    return package


def test_scripts_packages_and_modules_are_found(project: Path):
    (project / "file.py").touch()
    names = ["start", "ymir_detectron2", "ymir_detectron2.room", "ymir_detectron2.room.file"]
    assert sorted(project_modules()) == names


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import json.decoder as d, os", [("json.decoder", ""), ("os", "")]),
        ("from json import loads, dumps as d", [("json", "loads"), ("json", "dumps")]),
        ("from . import other", [("ymir_detectron2.room", "other")]),
        ("from ..errors import Error", [("ymir_detectron2.errors", "Error")]),
        ("from .other import name", [("ymir_detectron2.room.other", "name")]),
        ("def f():\n    import json", [("json", "")]),
        ("try:\n    import json\nexcept OSError:\n    pass", [("json", "")]),
        ("import torch._dynamo", []),  # torch 1.10 has none
    ],
)
def test_imports_of_a_file(project: Path, line: str, found: list[tuple[str, str]]):
    (project / "file.py").write_text(line)
    assert list(imports_of("ymir_detectron2.room.file")) == [Import(*one) for one in found]


def test_relative_imports_of_a_package(project: Path):
    (project / "__init__.py").write_text("from .other import name")
    assert list(imports_of("ymir_detectron2.room")) == [Import("ymir_detectron2.room.other", "name")]


@pytest.mark.parametrize(
    ("module", "name", "finding"),
    [
        ("json", "", None),
        ("json", "loads", None),
        ("json", "decoder", None),  # a module within a package
        ("no_such_package", "", "no_such_package : ModuleNotFoundError: No module named 'no_such_package'"),
        ("json", "no_such_name", "json no_such_name: ModuleNotFoundError: No module named 'json.no_such_name'"),
        ("half_installed", "", "half_installed : ModuleNotFoundError: No module named 'distutils_of_nobody'"),
        ("too_old", "", "too_old : AttributeError: numpy has no bool"),
    ],
)
def test_what_fails_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, finding: str | None
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "half_installed.py").write_text("import distutils_of_nobody")
    (tmp_path / "too_old.py").write_text("raise AttributeError('numpy has no bool')")
    assert failure_of(Import(module, name)) == ([] if finding is None else [finding])


def test_all_imports_of_the_project_succeed():
    project_dir = Path(check_imports.__file__).parents[2]
    command = [sys.executable, "-m", "ymir_detectron2.tools.check_imports"]
    shown = subprocess.run(command, cwd=project_dir, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert int(shown.stdout.split(" imports, 0 failed")[0]) > 500
