"""`tests/find-python3.8` against interpreters that are stand-ins: a name in PATH is not yet a Python that runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "find-python3.8"

# what the script asks an interpreter: first its version, then the modules of which a virtual environment is made
WORKS = 'case "$2" in *ensurepip*) echo "$0" ;; esac'
ANOTHER_VERSION = "exit 1"
WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1 ;; esac'
UNSELECTED_SHIM = 'echo "pyenv: python3.8: command not found" >&2; exit 127'


class Machine:
    """A home, a PATH of one folder, and a folder in place of /opt."""

    def __init__(self, root: Path) -> None:
        self.home, self.bin, self.opt = root / "home of somebody", root / "bin", root / "opt"
        for folder in (self.home, self.bin, self.opt):
            folder.mkdir()

    def put(self, path: Path, behaviour: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{behaviour}\n")
        path.chmod(0o755)
        return path

    def find(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "PATH": str(self.bin), **variables}
        return subprocess.run(
            ["/bin/sh", str(SCRIPT), str(self.opt)], env=environment, capture_output=True, text=True, check=False
        )

    def require_found(self, expected: Path, **variables: str) -> None:
        run = self.find(**variables)
        assert (run.returncode, run.stdout, run.stderr) == (0, f"{expected}\n", "")

    def require_refused(self, finding: str, **variables: str) -> None:
        run = self.find(**variables)
        assert (run.returncode, run.stdout) == (1, "")
        assert run.stderr.startswith("find-python3.8: ")
        assert finding in run.stderr
        assert "PYTHON38=/path/to/python3.8" in run.stderr or "leave PYTHON38 out" in run.stderr
        assert len(run.stderr.splitlines()) == 1


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("name", ["python3.8", "python3"])
def test_one_that_is_in_path(machine: Machine, name: str):
    machine.require_found(machine.put(machine.bin / name, WORKS))


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.8.18/bin",
        ".local/share/uv/python/cpython-3.8.20-linux-x86_64-gnu/bin",
        ".asdf/installs/python/3.8.18/bin",
        ".local/share/mise/installs/python/3.8/bin",
        "miniconda3/bin",
        "miniforge3/envs/old torch/bin",
    ],
)
def test_one_that_another_tool_keeps_outside_path(machine: Machine, place: str):
    machine.put(machine.bin / "python3.8", UNSELECTED_SHIM)
    machine.put(machine.bin / "python3", ANOTHER_VERSION)
    machine.require_found(machine.put(machine.home / place / "python3.8", WORKS))


@pytest.mark.parametrize(
    ("variable", "place"),
    [("PYENV_ROOT", "versions/3.8.18/bin"), ("UV_PYTHON_INSTALL_DIR", "cpython-3.8.20/bin"),
     ("XDG_DATA_HOME", "uv/python/cpython-3.8.20/bin"), ("ASDF_DATA_DIR", "installs/python/3.8.18/bin"),
     ("MISE_DATA_DIR", "installs/python/3.8.18/bin")],
)  # fmt: skip
def test_where_a_tool_was_told_to_keep_them(machine: Machine, tmp_path: Path, variable: str, place: str):
    there = machine.put(tmp_path / "elsewhere" / place / "python3.8", WORKS)
    machine.require_found(there, **{variable: str(tmp_path / "elsewhere")})


@pytest.mark.parametrize(
    "place", ["bin", "python38/bin", "conda/envs/py38/bin", "hostedtoolcache/Python/3.8.18/x64/bin"]
)
def test_one_below_a_folder_of_the_system(machine: Machine, place: str):
    machine.require_found(machine.put(machine.opt / place / "python3.8", WORKS))


def test_one_without_venv_is_passed_over_while_another_has_it(machine: Machine):
    machine.put(machine.bin / "python3.8", WITHOUT_VENV)
    complete = machine.put(machine.opt / "bin" / "python3.8", WORKS)
    machine.require_found(complete)


def test_one_without_venv_alone_is_told_what_to_install(machine: Machine):
    found = machine.put(machine.bin / "python3.8", WITHOUT_VENV)
    machine.require_refused(f"{found} has no venv, ensurepip or distutils; install python3.8-venv")


def test_none(machine: Machine):
    machine.put(machine.bin / "python3.8", UNSELECTED_SHIM)
    machine.put(machine.bin / "python3", ANOTHER_VERSION)
    machine.require_refused("no Python 3.8 found")


def test_the_one_that_is_named_is_taken(machine: Machine):
    machine.put(machine.bin / "python3.8", WORKS)
    named = machine.put(machine.opt / "deep" / "down" / "below" / "any" / "py", WORKS)
    machine.require_found(named, PYTHON38=str(named))


@pytest.mark.parametrize("named", ["/nowhere/python3.8", "python3.8-typo", "python3"])
def test_no_other_is_taken_in_place_of_the_one_that_is_named(machine: Machine, named: str):
    machine.put(machine.bin / "python3.8", WORKS)
    machine.put(machine.bin / "python3", ANOTHER_VERSION)
    machine.require_refused(f"PYTHON38={named} is not a Python 3.8 that runs", PYTHON38=named)


def test_what_it_finds_on_this_machine_is_a_python_3_8():
    found = subprocess.run([str(SCRIPT)], capture_output=True, text=True, check=False)
    if found.returncode:
        assert len(found.stderr.splitlines()) == 1
        pytest.skip("this machine has no Python 3.8")
    code = "import sys, venv; print(sys.version_info[:2])"
    version = subprocess.run([found.stdout.strip(), "-c", code], capture_output=True, text=True, check=True)
    assert version.stdout == "(3, 8)\n"
    assert os.access(found.stdout.strip(), os.X_OK)
