"""Published weights: every network of our table is that of a config of the zoo, and its tensors find their places."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import pytest
import torch

from tests.tiny_training import job_of
from ymir_detectron2.config.model_zoo import ZOO_DETECTORS, ZooDetector, coco_weights, imagenet_weights, is_imagenet
from ymir_detectron2.engines.pretrained import initial_weights
from ymir_detectron2.engines.zoo import zoo_folders

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from ymir_detectron2.engines.detectron2_engine.configuration import Detectron2Config, check_supported, load_config
    from ymir_detectron2.engines.detectron2_engine.network import CLASS_LAYERS, build_network, fill_network

if not zoo_folders():
    pytest.skip("this detectron2 was installed without its configs", allow_module_level=True)
ZOO = zoo_folders()[0]
PUBLISHED_FOR_BOXES = {detector.config: detector for detector in ZOO_DETECTORS}


def without_masks(config: str) -> Detectron2Config:
    return load_config(ZOO / f"{config}.yaml").merged({"MODEL.MASK_ON": False}, "test")


@pytest.mark.parametrize("detector", ZOO_DETECTORS, ids=lambda detector: detector.config)
def test_the_network_of_an_entry_is_that_of_its_config(detector: ZooDetector):
    cfg = without_masks(detector.config)
    check_supported(cfg)
    assert {key: cfg[key] for key in detector.network} == detector.network
    assert detector.address in coco_weights(cfg)


def test_every_box_detector_of_the_zoo_has_weights():
    """All configs of detection on COCO but those whose network this executor refuses."""
    refused = {"fast_rcnn_R_50_FPN_1x", "rpn_R_50_C4_1x", "rpn_R_50_FPN_1x"}
    configs = {path.stem for path in (ZOO / "COCO-Detection").glob("*.yaml")} - refused
    assert len(configs) >= 13
    for name in configs:
        addresses = coco_weights(load_config(ZOO / "COCO-Detection" / f"{name}.yaml"))
        assert any(f"/{name}/" in address for address in addresses), name


@pytest.mark.parametrize("config", [config for config in PUBLISHED_FOR_BOXES if "scratch" not in config])
def test_the_backbone_is_the_one_that_the_config_names(config: str):
    cfg = without_masks(config)
    named = str(cfg["MODEL.WEIGHTS"])
    assert is_imagenet(named)
    assert imagenet_weights(cfg.merged({"MODEL.WEIGHTS": ""}, "test")) == named


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("COCO-Detection/faster_rcnn_R_50_C4_1x", "model_final_f97cb7.pkl"),
        ("COCO-Detection/faster_rcnn_R_50_FPN_1x", "model_final_280758.pkl"),
        ("Misc/cascade_mask_rcnn_R_50_FPN_1x", "model_final_480dd8.pkl"),
        ("Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic", None),
    ],
)
def test_the_longer_schedule_comes_first(config: str, expected: str | None):
    names = [address.rsplit("/", 1)[-1] for address in coco_weights(without_masks(config))]
    assert names[:1] == ([expected] if expected else [])


def narrow(cfg: Detectron2Config) -> Detectron2Config:
    """A network of the same names, small enough for a test."""
    values = {
        "MODEL.RESNETS.STEM_OUT_CHANNELS": 8, "MODEL.RESNETS.WIDTH_PER_GROUP": 8, "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
        "MODEL.FPN.OUT_CHANNELS": 16, "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
    }  # fmt: skip
    return cfg.merged(values, "test")


@pytest.mark.parametrize(
    "config",
    ["faster_rcnn_R_50_FPN_3x", "faster_rcnn_R_50_C4_3x", "faster_rcnn_R_50_DC5_3x", "retinanet_R_50_FPN_3x"],
)
def test_a_file_as_the_zoo_has_it_fills_everything_but_the_class_layer(config: str, tmp_path: Path):
    """The zoo's form: a pickle of arrays under detectron2's own names, with the 80 classes of COCO."""
    of_zoo = narrow(load_config(ZOO / "COCO-Detection" / f"{config}.yaml"))
    state = build_network(of_zoo, torch.device("cpu")).state_dict()
    weights = {name: tensor.numpy() for name, tensor in state.items()}
    path = tmp_path / PUBLISHED_FOR_BOXES[f"COCO-Detection/{config}"].file.rsplit("/", 1)[-1]
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "Detectron2 Model Zoo"}, protocol=2))
    counts = {"MODEL.RETINANET.NUM_CLASSES": 2, "MODEL.ROI_HEADS.NUM_CLASSES": 2}
    cfg = of_zoo.merged({**counts, "MODEL.WEIGHTS": str(path)}, "test")
    model = build_network(cfg, torch.device("cpu"))
    job = job_of(tmp_path, {}, overrides={"MODEL.WEIGHTS": str(path)})
    initial = initial_weights(cfg, job, CLASS_LAYERS)
    assert initial is not None
    report = fill_network(model, initial[0], str(path))
    assert not report.misshapen
    assert not report.unexpected
    assert report.missing
    assert all(name.startswith(CLASS_LAYERS) for name in report.missing)


def test_the_best_file_that_is_there_is_taken_for_a_faster_rcnn(tmp_path: Path):
    """`pretrained: coco`, and the default, with a file of the weights folder: nothing is downloaded."""
    config_file = ZOO / "COCO-Detection" / "faster_rcnn_R_50_FPN_1x.yaml"
    (tmp_path / "weights").mkdir()
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "weights" / "model_final_b275ba.pkl")
    for form in ({"pretrained": "coco"}, {}):
        job = job_of(tmp_path, form, config_file=config_file)
        initial = initial_weights(load_config(config_file), job, CLASS_LAYERS)
        assert initial is not None
        assert initial[1].name == "model_final_b275ba.pkl"
