"""The table of published weights, and what is checked of a file: digests, and the tensors of its network."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.retinanet import weight_digests
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.retinanet.weight_digests import PINS_FILE, write_pins
from ymir_detectron2.tools.published_weights import (
    COCO_CLASSES,
    PUBLISHED,
    PublishedWeights,
    check_tensors,
    check_weights,
    choose_weights,
)

TINY_DETECTOR = PublishedWeights("tiny", "https://example.com/tiny.pkl", str(TINY_CONFIG), 0.5)
TINY_BACKBONE = PublishedWeights("tiny", "https://example.com/tiny.pkl", str(TINY_CONFIG))


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    """All tensors of a small RetinaNet with COCO's classes."""
    torch.manual_seed(0)
    model = build_retinanet(load_config(TINY_CONFIG), len(COCO_CLASSES))
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def write(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """Write a file in the form of the model zoo's."""
    path.write_bytes(pickle.dumps({"model": tensors, "__author__": "Detectron2 Model Zoo"}))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("none", [], id="none on purpose"),
        pytest.param("all", list(PUBLISHED), id="all"),
        pytest.param("coco-R-50-1x, imagenet-R-50", ["coco-R-50-1x", "imagenet-R-50"], id="some, with a blank"),
        pytest.param("COCO-Detection/retinanet_R_50_FPN_3x", ["coco-R-50-3x"], id="by its config"),
    ],
)
def test_names_are_parsed(text, expected):
    assert [weights.name for weights in choose_weights(text)] == expected


def test_every_box_detector_of_the_zoo_can_be_had():
    (weights,) = choose_weights("COCO-Detection/faster_rcnn_R_101_FPN_3x")
    assert weights.reference == "detectron2://COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1.pkl"
    assert weights.place == "COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1.pkl"


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no weights called 'R-18'; choose all, none, or of imagenet-R-50"):
        choose_weights("R-18")


@pytest.mark.parametrize("weights", PUBLISHED.values(), ids=list(PUBLISHED))
def test_each_file_belongs_to_the_network_of_its_config(weights):
    cfg = weights.read_config()
    assert cfg["MODEL.WEIGHTS"] == weights.reference
    assert f"R-{cfg['MODEL.RESNETS.DEPTH']}" in weights.name
    assert weights.reference.startswith("detectron2://")


def test_coco_has_eighty_classes_in_torchvisions_order():
    categories = pytest.importorskip("torchvision.models._meta")._COCO_CATEGORIES  # ids 1 to 90, with holes
    assert list(COCO_CLASSES) == [name for name in categories if name not in ("__background__", "N/A")]
    assert len(set(COCO_CLASSES)) == 80


def test_a_detector_needs_every_tensor_of_its_network(tmp_path, tensors):
    path = write(tmp_path / "tiny.pkl", {**tensors, "pixel_mean": np.zeros((3, 1, 1), np.float32)})
    assert check_tensors(TINY_DETECTOR, path) == len(tensors)
    for name in ("backbone.bottom_up.stem.conv1.weight", "head.cls_score.bias", "backbone.fpn_output3.weight"):
        write(path, {key: value for key, value in tensors.items() if key != name})
        with pytest.raises(ModelError, match=rf"1 tensors are missing, such as {name}, 0 have another shape"):
            check_tensors(TINY_DETECTOR, path)


def test_a_detector_of_other_classes_is_not_cocos(tmp_path, tensors):
    other = {**tensors, "head.cls_score.bias": np.zeros(3, np.float32)}
    with pytest.raises(ModelError, match=r"such as head\.cls_score\.bias, 1 have another shape; fetch the file again"):
        check_tensors(TINY_DETECTOR, write(tmp_path / "tiny.pkl", other))


def test_a_backbone_may_fold_its_statistics_but_needs_its_convolutions(tmp_path, tensors):
    backbone = {name[len("backbone.bottom_up.") :]: value for name, value in tensors.items() if "bottom_up" in name}
    folded = {name: value for name, value in backbone.items() if ".running_" not in name}
    assert len(folded) < len(backbone)
    path = write(tmp_path / "tiny.pkl", {**folded, "fc1000.weight": np.zeros(3, np.float32)})
    assert check_tensors(TINY_BACKBONE, path) >= len(folded)
    del folded["res4.0.conv1.weight"]
    with pytest.raises(ModelError, match=r"1 tensors are missing, such as backbone.bottom_up.res4.0.conv1.weight"):
        check_tensors(TINY_BACKBONE, write(path, folded))


def test_weights_of_something_else_and_damaged_files_are_refused(tmp_path, tensors):
    path = write(tmp_path / "tiny.pkl", {"stem.conv1.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(ModelError, match="no tensor fits the backbone"):
        check_tensors(TINY_DETECTOR, path)
    path.write_bytes(write(path, tensors).read_bytes()[:-1000])
    with pytest.raises(ModelError, match="is damaged or no weight file"):
        check_tensors(TINY_DETECTOR, path)


def test_what_was_checked_is_said_honestly(tmp_path, tensors, monkeypatch):
    pins = tmp_path / "weights.sha256"
    shutil.copyfile(PINS_FILE, pins)
    monkeypatch.setattr(weight_digests, "PINS_FILE", pins)
    path = write(tmp_path / "tiny.pkl", tensors)
    digits = hashlib.md5(path.read_bytes()).hexdigest()[:6]  # noqa: S324 - as detectron2 names its files
    zoo = PublishedWeights("zoo", f"https://example.com/model_final_{digits}.pkl")

    fitting = f"its {len(tensors)} tensors are those of tiny"
    unpinned = "no SHA-256 is pinned, so that nobody vouches for its values"
    assert check_weights(TINY_DETECTOR, path) == f"{fitting}; {unpinned}"
    assert check_weights(zoo, path) == (
        f"the first digits of its MD5 and its {len(tensors)} tensors can be read; {unpinned}"
    )
    write_pins({"tiny.pkl": hashlib.sha256(path.read_bytes()).hexdigest()})
    assert check_weights(TINY_DETECTOR, path) == f"the pinned SHA-256 and {fitting}"
    write(path, {**tensors, "head.cls_score.bias": tensors["head.cls_score.bias"] + 1})
    with pytest.raises(ModelError, match="is damaged or was changed: its SHA-256 is"):
        check_weights(TINY_DETECTOR, path)
