"""detectron2 and its model zoo are found without an import; the package here could not even be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ymir_detectron2.engines.zoo import detectron2_is_there, find_config_file, zoo_folders
from ymir_detectron2.errors import ConfigError

NAME = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"


def write_config(folder: Path) -> Path:
    path = folder / NAME
    path.parent.mkdir(parents=True)
    path.write_text("VERSION: 2\n")
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `detectron2` without a zoo, and the only one that can be found."""
    package = tmp_path / "detectron2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError\n")
    for name in [name for name in sys.modules if name == "detectron2" or name.startswith("detectron2.")]:
        monkeypatch.delitem(sys.modules, name)
    others = [entry for entry in sys.path if not (Path(entry) / "detectron2").is_dir()]
    monkeypatch.setattr(sys, "path", others)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_a_package_is_there_although_it_cannot_be_imported(package: Path):
    assert detectron2_is_there()
    assert zoo_folders() == ()


def test_a_folder_that_happens_to_be_called_detectron2_is_none(package: Path):
    (package / "__init__.py").unlink()
    assert not detectron2_is_there()
    assert zoo_folders() == ()


def test_without_detectron2_there_is_no_zoo(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    assert zoo_folders() == ()


def test_the_zoo_is_in_an_installed_package_or_next_to_it_in_a_checkout(package: Path):
    installed = write_config(package / "model_zoo" / "configs")
    assert zoo_folders() == (installed,)
    checkout = write_config(package.parent / "configs")
    assert zoo_folders() == (installed, checkout)


def test_other_folders_called_configs_are_not_the_zoo(package: Path):
    (package.parent / "configs" / "nginx").mkdir(parents=True)
    assert zoo_folders() == ()


@pytest.mark.parametrize("engine", ["torch", "detectron2"])
@pytest.mark.parametrize("name", ["COCO-Detection/fcos_R_50_FPN_1x.py", "/no/such/folder/retinanet.py"])
def test_lazy_configs_are_refused_by_name_whichever_engine_is_asked(package: Path, name: str, engine: str):
    zoo = write_config(package / "model_zoo" / "configs")
    (zoo / "COCO-Detection" / "fcos_R_50_FPN_1x.py").write_text("raise SystemExit\n")
    with pytest.raises(ConfigError, match=r"\.py: a lazy config is Python code, which no engine here runs.* FCOS"):
        find_config_file(name, engine)


def test_configs_of_the_zoo_are_found_for_the_engine_that_can_use_them(package: Path):
    zoo = write_config(package / "model_zoo" / "configs")
    for written in (NAME, f"configs/{NAME}"):
        assert find_config_file(written, "detectron2") == zoo / NAME
        with pytest.raises(ConfigError, match=r"is a config of detectron2's model zoo and needs engine: detectron2"):
            find_config_file(written, "torch")
    with pytest.raises(ConfigError, match=r"choose for example COCO-Detection/faster_rcnn_R_50_FPN_1x\.yaml"):
        find_config_file("COCO-Detection/faster_rcnn_R50_FPN_1x.yaml", "detectron2")
