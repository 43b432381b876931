"""`pip install .`: what it asks for, and the commands of an installed package, far from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.annotated_sets import grey_image, write_voc
from tests.running import PROJECT_DIR, TINY_CONFIG
from ymir_detectron2 import __version__

PULLED_IN = {"protobuf", "setuptools"}
"""Pinned for the sake of other packages."""


def project_table() -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # before Python 3.11
        tomllib = pytest.importorskip("tomli")
    return tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(name: str) -> dict[str, str]:
    text = (PROJECT_DIR / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.M))


def test_the_pins_of_both_flavours_are_within_the_ranges():
    requirements = pytest.importorskip("packaging.requirements")
    table = project_table()
    asked = [*table["dependencies"], *table["optional-dependencies"]["onnx"]]
    ranges = {one.name: one.specifier for one in map(requirements.Requirement, asked)}
    for name in ("current.txt", "py38.txt", "test-py38.txt"):
        for package, version in pins(name).items():
            if not package.startswith("pytest") and package in ranges:
                assert version in ranges[package], f"{name}: {package} {version}"
    assert set(ranges) == set(pins("current.txt")) - PULLED_IN
    assert set(pins("py38.txt")) - PULLED_IN <= set(ranges)


# --- an installed package


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with a wheel of this checkout, over the packages of this interpreter."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    run([*pip, "wheel", str(PROJECT_DIR), *offline, "--no-build-isolation", "-w", str(folder)], folder)
    run([sys.executable, "-m", "venv", "--without-pip", "env"], folder)
    packages = folder / "env" / "lib" / Path(sysconfig.get_path("purelib")).parent.name / "site-packages"
    (packages / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = folder.glob("*.whl")
    run([*pip, "install", *offline, "--target", str(packages), str(wheel)], folder)
    return folder / "env" / "bin" / "python"


def run(command: list[str], folder: Path) -> str:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, cwd=folder, env={**variables, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_from_images_to_annotations_with_an_installed_package(installed: Path, tmp_path: Path):
    write_voc(tmp_path / "voc", {str(n): [("Dog", 1, 2, 20, 22)] for n in range(6)}, {})
    grey_image(tmp_path / "new" / "a.png", 7)
    (script,) = installed.parents[1].rglob("bin/ymir-detectron2")
    program = [str(installed), str(script)]
    assert run([*program, "--version"], tmp_path).startswith(f"ymir-detectron2 {__version__} (no revision)")
    where = run([str(installed), "-c", "import ymir_detectron2; print(ymir_detectron2.__file__)"], tmp_path)
    assert where.startswith(str(installed.parents[1])), "not the checkout"

    settings = ["--set", f"config_file={TINY_CONFIG}", "engine=torch", "max_iter=2", "num_workers=1"]
    shown = run([*program, "train", "voc", *settings], tmp_path)
    assert re.search(r"^AP50 +\d\.\d{3}  \(stage \w+\)$", shown, re.M)
    assert re.search(r"^model +runs/train/out/models$", shown, re.M)

    shown = run([*program, "predict", "runs/train", "new", "--threshold", "0.001"], tmp_path)
    assert re.search(r"^images +1, \d of them with boxes$", shown, re.M)
    assert (tmp_path / "runs" / "predict" / "out" / "report.html").is_file()
    shown = run([*program, "mine", "runs/train/out", "new", "--set", "mining_algorithm=entropy"], tmp_path)
    assert re.search(r"^1\. +a\.png  ", shown, re.M)
    for command in (["report", "runs/train"], ["convert", "runs/predict", "--to", "voc"], ["weights", "list"]):
        run([*program, *command], tmp_path)
    assert (tmp_path / "runs" / "predict" / "voc" / "Annotations" / "a.xml").is_file()


@pytest.mark.slow
def test_the_configs_of_an_installed_package_are_found(installed: Path, tmp_path: Path):
    name = "configs/CPU/retinanet_R_18_FPN_small.yaml"
    code = f"from ymir_detectron2.engines.zoo import find_config_file; print(find_config_file({name!r}))"
    assert run([str(installed), "-c", code], tmp_path).strip().endswith(f"ymir_detectron2/project/{name}")
