"""Which weights are published for a network. The networks are held against detectron2's configs in its own folder."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import TINY_CONFIG
from tests.tiny_training import R50_CONFIG
from ymir_detectron2.config.model_zoo import (
    CATALOG,
    IMAGENET_BACKBONES,
    ZOO_DETECTORS,
    coco_weights,
    imagenet_weights,
    is_imagenet,
)
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config

R101_CONFIG = R50_CONFIG.with_name("retinanet_R_101_FPN_3x.yaml")
R50_COCO = ["model_final_5bd44e.pkl", "model_final_bfca0b.pkl"]


def small(**values: Any) -> RetinaNetConfig:
    return load_config(R50_CONFIG).merged({key.replace("__", "."): value for key, value in values.items()}, "test")


@pytest.mark.parametrize(
    ("cfg", "names", "backbone"),
    [
        pytest.param(load_config(R50_CONFIG), R50_COCO, "R-50.pkl", id="R50"),
        pytest.param(load_config(R101_CONFIG), ["model_final_971ab9.pkl"], "R-101.pkl", id="R101"),
        pytest.param(load_config(TINY_CONFIG), [], "", id="narrow"),
        pytest.param(small(MODEL__FPN__OUT_CHANNELS=64), [], "R-50.pkl", id="another pyramid"),
        pytest.param(small(MODEL__FPN__NORM="GN"), [], "R-50.pkl", id="a pyramid with norms"),
        pytest.param(small(MODEL__RETINANET__NORM="GN"), [], "R-50.pkl", id="heads with norms"),
        pytest.param(small(MODEL__RESNETS__NORM="GN"), [], "R-50.pkl", id="the weights that the config names"),
        pytest.param(small(MODEL__RESNETS__NORM="BN"), R50_COCO, "R-50.pkl", id="statistics that go on"),
        pytest.param(small(MODEL__PIXEL_STD=[57.0, 57.0, 58.0]), [], "R-50.pkl", id="pixels of another scale"),
        pytest.param(small(MODEL__RESNETS__DEPTH=18, MODEL__WEIGHTS=""), [], "", id="R18"),
        pytest.param(small(MODEL__RESNETS__NUM_GROUPS=32, MODEL__WEIGHTS=""), [], "", id="a ResNeXt of no known width"),
        pytest.param(small(MODEL__RESNETS__STRIDE_IN_1X1=False, MODEL__WEIGHTS=""), [], "", id="another stride"),
        pytest.param(
            small(MODEL__RESNETS__NORM="GN", MODEL__RESNETS__STRIDE_IN_1X1=False, MODEL__WEIGHTS=""), [], "R-50-GN",
            id="group normalisation",
        ),
        pytest.param(
            small(
                MODEL__RESNETS__DEPTH=101, MODEL__RESNETS__NUM_GROUPS=32, MODEL__RESNETS__WIDTH_PER_GROUP=8,
                MODEL__RESNETS__STRIDE_IN_1X1=False, MODEL__PIXEL_STD=[57.375, 57.12, 58.395], MODEL__WEIGHTS="",
            ),
            [], "X-101-32x8d.pkl", id="ResNeXt",
        ),
    ],
)  # fmt: skip
def test_which_weights_are_published_for_a_network(cfg: RetinaNetConfig, names: list[str], backbone: str):
    assert [address.rsplit("/", 1)[-1] for address in coco_weights(cfg)] == names
    assert imagenet_weights(cfg).rsplit("/", 1)[-1] == backbone


def test_deformable_networks_start_from_the_plain_backbone():
    cfg = small(MODEL__RESNETS__DEFORM_ON_PER_STAGE=[False, True, True, True], MODEL__WEIGHTS="")
    assert imagenet_weights(cfg) == "detectron2://ImageNetPretrained/MSRA/R-50.pkl"


def test_addresses_of_imagenet_weights():
    assert is_imagenet("detectron2://ImageNetPretrained/MSRA/R-50.pkl")
    assert is_imagenet("catalog://ImageNetPretrained/FAIR/R-50-GN")
    assert not is_imagenet("detectron2://COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl")
    assert not is_imagenet("")
    own = "detectron2://ImageNetPretrained/FAIR/X-101-32x8d.pkl"
    assert imagenet_weights(small(MODEL__WEIGHTS=own)) == own


def test_no_two_entries_are_the_same_and_all_of_the_catalog_have_an_address():
    assert len({detector.address for detector in ZOO_DETECTORS}) == len(ZOO_DETECTORS)
    assert len({detector.file for detector in ZOO_DETECTORS}) == len(ZOO_DETECTORS), "a copy is known by its name"
    addresses = [address for address, _ in IMAGENET_BACKBONES]
    assert {address for address in addresses if address.startswith("catalog://")} == set(CATALOG)
