"""Tests are collected wherever detectron2 is installed and whatever else on the path is called `tests`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS_DIR = Path(__file__).resolve().parents[1]
TEST_FILES = sorted(TESTS_DIR.rglob("test_*.py"))

# what setuptools installs as bin/pytest; the path then begins with its folder, not with the current one
CONSOLE_SCRIPT = "import sys\nimport pytest\nsys.exit(pytest.main())\n"

# a package of which everything can be imported, and is a class
ANY_DETECTRON2 = """
import importlib.machinery
import sys
import types


class Anything(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (dict,), {})  # a dict, since get_cfg() is read when the engine is imported


class Module(types.ModuleType):
    __getattr__ = Anything.__getattr__


class Finder:
    def find_spec(name, path=None, target=None):
        if name.startswith("detectron2."):
            return importlib.machinery.ModuleSpec(name, Finder, is_package=True)

    def create_module(spec):
        return Module(spec.name)

    def exec_module(module):
        pass


sys.meta_path.append(Finder)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a checkout of detectron2 has at its root: `detectron2`, a package `tests`, and the configs of the zoo."""
    for name, content in (("detectron2", ANY_DETECTRON2), ("tests", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(content)
    (tmp_path / "configs" / "COCO-Detection").mkdir(parents=True)
    return tmp_path


@pytest.fixture(params=["python -m pytest", "pytest"])
def pytest_command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "pytest":
        script = tmp_path / "bin" / "pytest"
        script.parent.mkdir()
        script.write_text(CONSOLE_SCRIPT)
        return [sys.executable, str(script)]
    return [sys.executable, "-m", "pytest"]


def collect(command: list[str], tests: Path, *, path: Path, folder: Path) -> set[Path]:
    """Collect in a separate process, and return the files in which tests were found."""
    run = subprocess.run(
        [*command, "--collect-only", "--quiet", "-p", "no:cacheprovider", f"--rootdir={TESTS_DIR.parent}", str(tests)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return {TESTS_DIR.parent / line.split("::")[0] for line in run.stdout.splitlines() if "::" in line}


@pytest.mark.parametrize("within", ["the project", "the checkout"])
def test_the_tests_of_a_detectron2_checkout_do_not_hide_ours(pytest_command: list[str], checkout: Path, within: str):
    folder = TESTS_DIR.parent if within == "the project" else checkout
    test_file = Path(__file__).resolve()
    assert collect(pytest_command, test_file, path=checkout, folder=folder) == {test_file}


@pytest.mark.slow
def test_every_file_is_collected_where_detectron2_is_there(checkout: Path):
    """Else nothing runs at all: pytest stops at the first file that it cannot import."""
    found = collect([sys.executable, "-m", "pytest"], TESTS_DIR, path=checkout, folder=TESTS_DIR.parent)
    assert set(TEST_FILES) - found == set()


def test_no_two_test_files_have_one_name():
    assert [name for name, count in Counter(file.name for file in TEST_FILES).items() if count > 1] == []


def test_every_folder_of_tests_is_a_package():
    """Else it loses to any package of its name on the path, and its files clash with those of other plain folders."""
    assert [file for file in TESTS_DIR.rglob("*.py") if not (file.parent / "__init__.py").exists()] == []
