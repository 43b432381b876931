"""The model that a task starts from: which weights, which configuration, which class names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ymir_detectron2.contract.model_package import find_model_package
from ymir_detectron2.contract.paths import PathMap
from ymir_detectron2.errors import ConfigError, ModelError


@dataclass(frozen=True)
class TaskStub:
    """The part of a `Task` that finding a model needs."""

    config: dict[str, Any]
    paths: PathMap
    input_models_dir: Path


def find(tmp_path: Path, files: list[str], listed: Any, texts: dict[str, str] | None = None):
    models = tmp_path / "in" / "models"
    for name in files:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text("MODEL: {}\n" if name.endswith("config.yaml") else "x")
    for name, text in (texts or {}).items():
        (models / name).write_text(text)
    task = TaskStub({"key": listed}, PathMap(tmp_path / "in", tmp_path / "out"), models)
    package = find_model_package(task, "key")  # type: ignore[arg-type]
    if package is None:
        return None
    config = package.config and str(package.config.relative_to(models))
    return str(package.weights.relative_to(models)), config, package.class_names


FLAT = ["/in/models/a.pth", "/in/models/config.yaml"]
TWO = ["/in/models/iter_0000001.pth", "/in/models/iter_0000002.pth", "/in/models/config.yaml"]
TWO_FILES = ["iter_0000001.pth", "iter_0000002.pth", "config.yaml"]
CLASSES = "executor_config: {class_names: [cat, 7]}\n"


@pytest.mark.parametrize(
    ("files", "listed", "texts", "expected"),
    [
        pytest.param([], None, {}, None, id="no key"),
        pytest.param([], [], {}, None, id="empty list"),
        pytest.param([], "", {}, None, id="empty text"),
        pytest.param(["a.pth"], "/in/models/a.pth", {}, ("a.pth", None, None), id="one path as text"),
        pytest.param(["a.pth", "config.yaml"], FLAT, {}, ("a.pth", "config.yaml", None), id="flat"),
        pytest.param(["a.pth", "config.yaml"], FLAT[:1], {}, ("a.pth", "config.yaml", None), id="config not listed"),
        pytest.param(["s/a.pkl", "s/config.yaml"], ["/in/models/s/a.pkl"], {"ymir-info.yaml": CLASSES},
                     ("s/a.pkl", "s/config.yaml", ("cat", "7")), id="stage folder and class names"),
        pytest.param(["a.pth"], ["/in/models/a.pth"], {"ymir-info.yaml": "x: 1", "result.yaml": "y: 1"},
                     ("a.pth", None, None), id="the platform's own files are not configs"),
        pytest.param(TWO_FILES, TWO, {"result.yaml": "best_stage_name: iter_0000001\n"},
                     ("iter_0000001.pth", "config.yaml", None), id="as the verifier passes them"),
        pytest.param(TWO_FILES, TWO, {"result.yaml": "model: [config.yaml, iter_0000001.pth]\nmap: 0.1\n"},
                     ("iter_0000001.pth", "config.yaml", None), id="the verifier after a legacy training"),
        pytest.param(["s1/a.pth", "s2/a.pth"], ["/in/models/s1/a.pth", "/in/models/s2/a.pth"],
                     {"ymir-info.yaml": "best_stage_name: s2\n"}, ("s2/a.pth", None, None), id="best stage's folder"),
        pytest.param(["a.pth", "own.yml"], ["/in/models/a.pth", "/in/models/own.yml"], {},
                     ("a.pth", "own.yml", None), id="config of another name"),
    ],
)  # fmt: skip
def test_which_model_is_meant(tmp_path: Path, files: list[str], listed: Any, texts: dict[str, str], expected: Any):
    assert find(tmp_path, files, listed, texts) == expected


def test_the_newest_file_is_not_the_best(tmp_path: Path):
    with pytest.raises(ModelError, match=r"which of .*iter_0000001.pth.*iter_0000002.pth is meant"):
        find(tmp_path, TWO_FILES, TWO)


@pytest.mark.parametrize("listed", [5, {"a": 1}, [1], [["a.pth"]]])
def test_a_key_without_a_list_of_paths(tmp_path: Path, listed: Any):
    with pytest.raises(ConfigError, match="key must be a list of paths"):
        find(tmp_path, [], listed)


def test_a_package_without_readable_class_names_is_damaged(tmp_path: Path):
    with pytest.raises(ModelError, match=r"ymir-info\.yaml: executor_config tells no class_names; .* is damaged"):
        find(tmp_path, ["a.pth"], "/in/models/a.pth", {"ymir-info.yaml": "executor_config: {class_names: cat}\n"})


def test_files_without_weights_are_named(tmp_path: Path):
    with pytest.raises(ModelError, match=r"key: no \.pth or \.pkl file among .*config\.yaml, .*gone\.pth; choose"):
        find(tmp_path, ["config.yaml"], ["/in/models/config.yaml", "/in/models/gone.pth"])


@pytest.mark.parametrize(
    ("files", "listed", "expected"),
    [
        (["a.pth"], ["a.pth"], None),
        (["a.pth", "training-statistics.json"], ["a.pth"], "training-statistics.json"),
        (["s/a.pth", "s/training-statistics.json"], ["s/a.pth", "s/training-statistics.json"],
         "s/training-statistics.json"),
        (["s/a.pth", "training-statistics.json"], ["s/a.pth", "training-statistics.json"], "training-statistics.json"),
        (["s/a.pth", "training-statistics.json"], ["s/a.pth"], None),
        (["a.pth"], ["a.pth", "training-statistics.json"], None),
    ],
    ids=["none", "next to the weights", "of the stage", "listed elsewhere", "of something else", "listed and missing"],
)  # fmt: skip
def test_statistics_of_the_training(tmp_path: Path, files: list[str], listed: list[str], expected: str | None):
    models = tmp_path / "in" / "models"
    for name in files:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text("x")
    task = TaskStub({"key": [f"/in/models/{name}" for name in listed]}, PathMap(tmp_path / "in", tmp_path), models)
    package = find_model_package(task, "key")  # type: ignore[arg-type]
    assert package is not None
    assert package.statistics == (None if expected is None else models / expected)
