"""Which engine runs, decided without importing one; packages that only look like detectron2 stand for the real one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ymir_detectron2.engines.choice import choose_engine, load_engine
from ymir_detectron2.engines.zoo import zoo_folders
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tasks.train import find_config_file


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", None)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that says so when it is imported."""
    package = tmp_path / "detectron2"
    (package / "model_zoo" / "configs" / "COCO-Detection").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('cannot import name _C')\n")
    (package / "model_zoo" / "configs" / "COCO-Detection" / "faster_rcnn_R_50_FPN_1x.yaml").write_text("VERSION: 2\n")
    for name in [name for name in sys.modules if name == "detectron2" or name.startswith("detectron2.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("ymir_detectron2.engines.detectron2_engine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_auto_takes_detectron2_where_it_is_installed(installed: Path):
    assert choose_engine("auto") == ("detectron2", "detectron2 is installed")
    assert choose_engine("detectron2") == ("detectron2", "config.yaml asks for it")
    assert choose_engine("torch") == ("torch", "config.yaml asks for it")


def test_auto_takes_torch_elsewhere(missing: None):
    assert choose_engine("auto") == ("torch", "detectron2 is not installed")
    assert choose_engine("torch") == ("torch", "config.yaml asks for it")


def test_detectron2_that_is_asked_for_and_missing_says_what_to_do(missing: None):
    with pytest.raises(ConfigError, match=r"^engine: detectron2 is not installed here; .* or set engine: torch$"):
        choose_engine("detectron2")


def test_detectron2_that_cannot_be_imported_says_why(installed: Path):
    with pytest.raises(ConfigError, match=r"installed and cannot be imported \(ImportError: cannot import name _C\); "):
        load_engine("detectron2")


def test_configs_of_the_zoo_are_found_for_the_engine_that_can_use_them(installed: Path):
    assert zoo_folders() == (installed / "model_zoo" / "configs",)
    name = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
    for written in (name, f"configs/{name}"):
        assert find_config_file(written, "detectron2") == installed / "model_zoo" / "configs" / name
        with pytest.raises(ConfigError, match="does not exist; choose for example"):
            find_config_file(written, "torch")
    with pytest.raises(ConfigError, match=r"choose for example COCO-Detection/faster_rcnn_R_50_FPN_1x\.yaml"):
        find_config_file("COCO-Detection/faster_rcnn_R50_FPN_1x.yaml", "detectron2")


def test_a_folder_that_happens_to_be_called_detectron2_is_none(installed: Path):
    (installed / "__init__.py").unlink()
    assert choose_engine("auto") == ("torch", "detectron2 is not installed")
    assert zoo_folders() == ()


def test_without_detectron2_there_is_no_zoo(missing: None):
    assert zoo_folders() == ()
