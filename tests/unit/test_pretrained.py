"""Model packages, published weights of a network, and the weights that a training is fine-tuned from."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.running import TINY_CONFIG
from tests.tiny_training import PROJECT_DIR, job_of
from ymir_detectron2.config.packed_config import packed_yaml
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.engines.pretrained import (
    class_names_of,
    config_of,
    initial_weights,
    require_complete,
)
from ymir_detectron2.errors import ConfigError, ModelError, NetworkError
from ymir_detectron2.retinanet.checkpoint import LoadReport
from ymir_detectron2.training.resolve_config import resolve_config

CLASS_LAYER = "head.cls_score."


def package(
    names: tuple[str, ...] | None = None, weights: str = "model.pth", config: str | None = None
) -> ModelPackage:
    return ModelPackage(Path(weights), Path(config) if config else None, names, "model_params_path")


COCO_1X, IMAGENET = "model_final_bfca0b.pkl", "R-50.pkl"


def put(folder: Path, *names: str) -> None:
    """Stand-ins for published files: torch.save is read under any name."""
    (folder / "weights").mkdir()
    for name in names:
        weights = {"head.cls_score.weight": torch.zeros(720, 256, 3, 3), "head.bbox_pred.bias": torch.zeros(36)}
        torch.save({"model": weights}, folder / "weights" / name)


@pytest.mark.parametrize(
    ("form", "overrides", "expected"),
    [
        pytest.param({}, {}, COCO_1X, id="the best that is there"),
        pytest.param({"pretrained": "coco"}, {}, COCO_1X, id="coco"),
        pytest.param({"pretrained": "imagenet"}, {}, IMAGENET, id="imagenet"),
        pytest.param({"pretrained": "none"}, {}, None, id="none"),
        pytest.param({}, {"MODEL.WEIGHTS": ""}, None, id="none by args_options"),
        pytest.param({"pretrained": "coco"}, {"MODEL.WEIGHTS": "OWN"}, "own.pth", id="args_options win"),
    ],
)
def test_where_a_training_starts(tmp_path: Path, form: dict, overrides: dict, expected: str | None):
    put(tmp_path, COCO_1X, IMAGENET, "own.pth")
    overrides = {key: value.replace("OWN", str(tmp_path / "weights" / "own.pth")) for key, value in overrides.items()}
    job = job_of(tmp_path, form, overrides=overrides)
    initial = initial_weights(resolve_config(job, load_config), job, (CLASS_LAYER,))
    assert (initial[1].name if initial else None) == expected
    if initial:
        state, _ = initial
        assert ("head.cls_score.weight" in state) is (expected != COCO_1X), "80 classes of COCO are not these two"
        assert "head.bbox_pred.bias" in state


@pytest.mark.parametrize(
    ("in_checkpoint", "in_package", "keeps_classes"),
    [
        pytest.param(["a", "b"], None, True, id="the same"),
        pytest.param(["A", "b"], None, True, id="in other letters"),
        pytest.param(["b", "a"], None, False, id="in another order, which would mix them up"),
        pytest.param(["a", "c"], None, False, id="others"),
        pytest.param(None, ("a", "b"), True, id="of the package"),
        pytest.param(None, ("c", "d"), False, id="others of the package"),
        pytest.param(["a", "b"], ("c", "d"), True, id="the checkpoint wins"),
        pytest.param(None, None, True, id="unknown"),
    ],
)
def test_a_chosen_model_gives_its_class_layer_only_for_the_same_classes(
    tmp_path: Path, in_checkpoint: list[str] | None, in_package: tuple[str, ...] | None, keeps_classes: bool,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    weights = tmp_path / "chosen.pth"
    metadata = {"class_names": in_checkpoint} if in_checkpoint else {}
    tensors = {"head.cls_score.weight": torch.zeros(2), "head.bbox_pred.bias": torch.zeros(36)}
    torch.save({"model": tensors, **metadata}, weights)
    job = dataclasses.replace(job_of(tmp_path, {}), pretrained=package(in_package, str(weights)))
    with caplog.at_level(logging.INFO):
        initial = initial_weights(resolve_config(job, load_config), job, (CLASS_LAYER,))
    assert initial is not None
    assert initial[1] == weights
    assert sorted(initial[0]) == ["head.bbox_pred.bias"] + ["head.cls_score.weight"] * keeps_classes
    assert ("the class layer starts from random values" in caplog.text) is not keeps_classes


@pytest.mark.parametrize("name", ["model_final_280758.pkl", "model_final_480dd8.pkl", COCO_1X])
def test_any_file_of_the_zoo_is_known_to_be_trained_on_coco(tmp_path: Path, name: str):
    """A copy anywhere, of another network than the one that is trained: its 80 classes are not those of a task."""
    torch.save({"model": {"head.cls_score.weight": torch.zeros(2), "x": torch.zeros(1)}}, tmp_path / name)
    job = job_of(tmp_path, {}, overrides={"MODEL.WEIGHTS": str(tmp_path / name)})
    initial = initial_weights(resolve_config(job, load_config), job, (CLASS_LAYER,))
    assert initial is not None
    assert list(initial[0]) == ["x"]


def test_a_packed_config_file_brings_the_weights_next_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The working folder is another one, and has no file of that name."""
    monkeypatch.chdir(tmp_path)
    packed = tmp_path / "iter_0000120"
    packed.mkdir()
    torch.save({"model": {"x": torch.ones(1)}, "class_names": ["a", "b"]}, packed / "iter_0000120.pth")
    (packed / "config.yaml").write_text(packed_yaml(load_config(TINY_CONFIG), "iter_0000120.pth"))
    job = job_of(tmp_path, {}, config_file=packed / "config.yaml")
    state_dict, path = initial_weights(resolve_config(job, load_config), job, (CLASS_LAYER,)) or ({}, None)
    assert (list(state_dict), path) == (["x"], packed / "iter_0000120.pth")
    # what args_options name is relative to the working folder, as for detectron2
    job = job_of(tmp_path, {}, config_file=packed / "config.yaml", overrides={"MODEL.WEIGHTS": "iter_0000120.pth"})
    with pytest.raises(ModelError, match=r"MODEL.WEIGHTS iter_0000120\.pth: no such file"):
        initial_weights(resolve_config(job, load_config), job, (CLASS_LAYER,))


def test_an_empty_weights_key_of_the_config_is_an_explicit_none(tmp_path: Path):
    job = job_of(tmp_path, {}, config_file=TINY_CONFIG)
    assert initial_weights(resolve_config(job, load_config), job, ()) is None


@pytest.mark.parametrize("pretrained", ["coco", "imagenet"])
def test_what_is_not_published_is_an_error(tmp_path: Path, pretrained: str):
    config = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
    job = job_of(tmp_path, {"pretrained": pretrained}, config_file=config)
    with pytest.raises(ConfigError, match=f"pretrained: there are no published {pretrained} weights for this network"):
        initial_weights(resolve_config(job, load_config), job, ())


def test_random_weights_that_nothing_will_train_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    job = job_of(tmp_path, {"pretrained": "none"})
    with caplog.at_level(logging.INFO):
        initial_weights(resolve_config(job, load_config), job, ())
    assert "training from random weights, because of pretrained: none" in caplog.text
    assert "MODEL.BACKBONE.FREEZE_AT 2 and MODEL.RESNETS.NORM FrozenBN keep from learning" in caplog.text


def test_without_coco_weights_the_backbones_are_taken_with_a_warning_and_never_random_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for variable in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nobody listens: no way out of this machine
    job = job_of(tmp_path, {})
    cfg = resolve_config(job, load_config)
    with pytest.raises(NetworkError, match=r"R-50.pkl: cannot be downloaded"):
        initial_weights(cfg, job, ())
    (tmp_path / "weights" / IMAGENET).write_bytes(b"")
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "weights" / IMAGENET)
    caplog.clear()
    initial = initial_weights(cfg, job, ())
    assert initial is not None
    assert initial[1].name == IMAGENET
    assert "starting from the weights of ImageNet, not of COCO" in caplog.text


@pytest.mark.parametrize(
    ("in_checkpoint", "in_package", "of_task", "expected"),
    [
        pytest.param(["a", "b"], ("c",), ("a", "b"), ("a", "b"), id="the checkpoint first"),
        pytest.param(None, ("b", "a"), ("a", "b"), ("b", "a"), id="then the package, in its order"),
        pytest.param(None, None, ("a", "b"), ("a", "b"), id="then the task"),
        pytest.param(["a", "b"], None, ("B", "a"), ("a", "b"), id="the task may write them otherwise"),
        pytest.param(["a", "b"], None, (), ("a", "b"), id="the task need not name them"),
        pytest.param([1, 2], None, (), ("1", "2"), id="numbers are names"),
    ],
)
def test_class_names_are_those_of_the_training(
    in_checkpoint: list | None, in_package: tuple[str, ...] | None, of_task: tuple[str, ...], expected: tuple[str, ...]
):
    metadata = {"class_names": in_checkpoint} if in_checkpoint else {}
    assert class_names_of(package(in_package), metadata, of_task) == expected


def test_a_model_of_other_classes_is_an_error():
    with pytest.raises(ModelError, match=r"^model\.pth: was trained for a, b, but the task is about a; choose"):
        class_names_of(package(("a", "b")), {}, ("a",))


@pytest.mark.parametrize("stored", [None, "a", {}])
def test_class_names_that_are_nowhere_are_an_error(stored: Any):
    with pytest.raises(ConfigError, match=r"^config\.yaml: class_names is missing"):
        class_names_of(package(), {"class_names": stored}, ())


def test_a_package_without_configuration_is_an_error():
    assert config_of(package(config="config.yaml")) == Path("config.yaml")
    with pytest.raises(ModelError, match=r"^model\.pth: no config\.yaml lies beside it.* model_params_path as well$"):
        config_of(package())


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        pytest.param(LoadReport(5, (), (), ()), None, id="complete"),
        pytest.param(LoadReport(5, (), ("extra",), ()), None, id="more than needed"),
        pytest.param(LoadReport(5, ("a",), (), ()), "1 tensors missing, 0 of another shape", id="a tensor is missing"),
        pytest.param(LoadReport(5, (), (), (("a", (2,), (3,)),)), "0 tensors missing, 1 of another", id="misshapen"),
    ],
)
def test_weights_must_fill_the_network(report: LoadReport, problem: str | None):
    if problem is None:
        require_complete(report, package(config="config.yaml"), 2)
    else:
        with pytest.raises(ModelError, match=rf"^model\.pth: does not fit config\.yaml with 2 classes: {problem}"):
            require_complete(report, package(config="config.yaml"), 2)
