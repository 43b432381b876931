"""The engine of a task, chosen without importing one; a broken package takes the place of the real detectron2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ymir_detectron2.engines.registry import choose_engine, load_engine
from ymir_detectron2.errors import ConfigError


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", None)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A detectron2 whose import fails."""
    package = tmp_path / "detectron2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('cannot import name _C')\n")
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


def test_auto_takes_the_engine_that_implements_what_is_set(installed: Path):
    """The form shows `class_weights`, which detectron2 lacks: who fills it in need not know of engines."""
    reason = "detectron2 does not implement class_weights, augment"
    assert choose_engine("auto", without_detectron2="class_weights, augment") == ("torch", reason)
    assert choose_engine("detectron2", without_detectron2="augment")[0] == "detectron2", "which refuses it by name"


def test_auto_takes_torch_elsewhere(missing: None):
    for keys in ("", "augment"):
        assert choose_engine("auto", without_detectron2=keys) == ("torch", "detectron2 is not installed")
    assert choose_engine("torch") == ("torch", "config.yaml asks for it")


def test_detectron2_that_is_asked_for_and_missing_says_what_to_do(missing: None):
    with pytest.raises(ConfigError, match=r"^engine: detectron2 is not installed here; .* or set engine: torch$"):
        choose_engine("detectron2")


def test_detectron2_that_cannot_be_imported_says_why(installed: Path):
    with pytest.raises(ConfigError, match=r"installed and cannot be imported \(ImportError: cannot import name _C\); "):
        load_engine("detectron2")


@pytest.mark.parametrize("requested", ["auto", "torch"])
def test_the_torch_engine_is_always_there(missing: None, requested: str):
    engine = load_engine(choose_engine(requested)[0])
    assert engine.name == "torch"
