"""A published detector as a package for YMIR's model import: read as each release does, and used by real tasks."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import MakeTree
from tests.platform_reader import RELEASES, import_model, read_infer_result, read_training_result
from tests.running import TINY_CONFIG, run_steps
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.tools.model_import import write_import_package
from ymir_detectron2.tools.published_weights import COCO_CLASSES, PUBLISHED, PublishedWeights

TINY = PublishedWeights("tiny", "https://example.com/model_final.pkl", str(TINY_CONFIG), 0.5)
IMPORTING = [release for release in RELEASES if release >= "2.0.0"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small detector of COCO's classes in the form of the model zoo's files."""
    torch.manual_seed(0)
    state = build_retinanet(load_config(TINY_CONFIG), len(COCO_CLASSES)).state_dict()
    path = tmp_path_factory.mktemp("published") / "model_final.pkl"
    content = {"model": {name: tensor.numpy() for name, tensor in state.items()}, "__author__": "Detectron2 Model Zoo"}
    path.write_bytes(pickle.dumps(content))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


@pytest.mark.parametrize("release", IMPORTING)
def test_every_release_that_imports_models_takes_the_package(published, tmp_path, release):
    package = write_import_package(TINY, published, tmp_path)
    assert package == tmp_path / "tiny.tar"
    paths, info = import_model(package, tmp_path / "models", release)
    assert paths == ["/in/models/tiny/model_final.pkl", "/in/models/tiny/config.yaml"]
    assert (tmp_path / "models" / "tiny" / "model_final.pkl").read_bytes() == published.read_bytes()
    assert info["executor_config"] == {"class_names": list(COCO_CLASSES)}
    stage = info["stages"]["tiny"]
    assert (stage["mAP"], stage["timestamp"]) == (0.5, 1_600_000_000)


def test_the_config_in_it_is_complete_and_names_the_weights(published, tmp_path):
    package = write_import_package(TINY, published, tmp_path)
    with tarfile.open(package) as archive:
        archive.extract("config.yaml", tmp_path)
    cfg = load_config(tmp_path / "config.yaml")
    assert cfg["MODEL.WEIGHTS"] == published.name, "as detectron2 opens it, in the folder of both files"
    assert {**cfg, "MODEL.WEIGHTS": ""} == {**load_config(TINY_CONFIG), "MODEL.WEIGHTS": ""}
    assert "_BASE_" not in yaml.safe_load((tmp_path / "config.yaml").read_text())


def test_the_same_file_gives_the_same_bytes_for_everybody(published, tmp_path):
    (tmp_path / "a").mkdir()
    one = write_import_package(TINY, published, tmp_path / "a").read_bytes()
    umask = os.umask(0o077)
    try:
        assert write_import_package(TINY, published, tmp_path / "b").read_bytes() == one
    finally:
        os.umask(umask)
    with tarfile.open(tmp_path / "b" / "tiny.tar") as archive:
        assert {(member.mode, member.uid, member.uname) for member in archive} == {(0o644, 0, "")}


@pytest.mark.parametrize("name", ["imagenet-R-50", "COCO-Detection/faster_rcnn_R_50_FPN_3x"])
def test_what_is_no_retinanet_is_refused_with_the_other_way(published, tmp_path, name):
    weights = PUBLISHED.get(name, PublishedWeights(name, f"detectron2://{name}/1/model_final_000000.pkl"))
    with pytest.raises(ConfigError, match=f"^{name}: is not a RetinaNet with classes.*put the file into /weights"):
        write_import_package(weights, published, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_imported_detector_infers_and_is_fine_tuned(published, tmp_path, ymir_tree: MakeTree):
    package = write_import_package(TINY, published, tmp_path)

    infer = ymir_tree("infer", folder="infer", class_names=COCO_CLASSES)
    paths, _ = import_model(package, infer.in_dir / "models")
    infer.edit("config.yaml", model_params_path=paths)
    outcome = run_steps(infer.env_file)
    assert outcome.status == 0, outcome.output
    read_infer_result(infer.out_dir / "infer-result.json", infer.candidates(), COCO_CLASSES)
    assert json.loads((infer.out_dir / "infer-result.json").read_text())["detection"]

    train = ymir_tree("train", folder="train")
    paths, _ = import_model(package, train.in_dir / "models")
    train.edit("config.yaml", pretrained_model_params=paths)
    outcome = run_steps(train.env_file)
    assert outcome.status == 0, outcome.output
    assert "was trained for person, bicycle" in outcome.output
    assert read_training_result(train.out_dir / "models").stages
