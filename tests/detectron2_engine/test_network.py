"""Networks and detectors of the detectron2 engine in this process: weights, class probabilities, neighbours."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.engines.zoo import zoo_folders
from ymir_detectron2.errors import ConfigError, ModelError
from ymir_detectron2.retinanet.checkpoint import read_checkpoint

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.utils.events import EventStorage

    from ymir_detectron2.engines.detectron2_engine.configuration import Detectron2Config, load_config
    from ymir_detectron2.engines.detectron2_engine.data import blank_picture
    from ymir_detectron2.engines.detectron2_engine.detector import Detectron2Detector
    from ymir_detectron2.engines.detectron2_engine.network import build_network, fill_network

CPU = torch.device("cpu")
TWO_STAGES = {
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8, "MODEL.RESNETS.WIDTH_PER_GROUP": 8, "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.NORM": "BN", "MODEL.BACKBONE.FREEZE_AT": 0, "MODEL.ROI_HEADS.NUM_CLASSES": 2,
    "INPUT.MIN_SIZE_TEST": 64, "INPUT.MAX_SIZE_TEST": 96, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 1e-6,
    "MODEL.PIXEL_STD": [57.0, 57.0, 58.0],
}  # fmt: skip


def small(name: str) -> Detectron2Config:
    if name == "retinanet":
        values = {"MODEL.RETINANET.NUM_CLASSES": 2, "MODEL.RETINANET.SCORE_THRESH_TEST": 0.004}
        return load_config(TINY_CONFIG).merged(values, "test")
    if not zoo_folders():
        pytest.skip("this detectron2 was installed without its configs")
    return load_config(zoo_folders()[0] / "COCO-Detection" / f"{name}.yaml").merged(TWO_STAGES, "test")


def detector(name: str, **options) -> Detectron2Detector:
    torch.manual_seed(0)
    cfg = small(name)
    model = build_network(cfg, CPU, None)
    return Detectron2Detector(
        model, cfg, ("a", "b"), device=CPU, autocast_dtype=None, **{"batch_size": 4, **options}
    )


def pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*hw, 3), dtype=np.uint8) for hw in ((64, 96), (48, 64), (64, 96), (90, 60))]


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_C4_1x"])
def test_a_picture_does_not_feel_its_neighbours(name: str):
    together = detector(name).detect(pictures())
    alone = [found for picture in pictures() for found in detector(name, batch_size=1).detect([picture])]
    assert sum(map(len, together)) > 0
    for ours, theirs in zip(together, alone):
        assert ours.classes.tolist() == theirs.classes.tolist()
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.01)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)


def test_a_retinanet_says_what_it_thinks_of_every_class():
    for found in detector("retinanet").detect(pictures()):
        assert found.class_probs.shape == (len(found), 2)
        np.testing.assert_allclose(found.class_probs[np.arange(len(found)), found.classes], found.scores, atol=1e-6)


def test_other_networks_give_scores_alone():
    found = detector("faster_rcnn_R_50_C4_1x").detect(pictures())[0]
    assert found.class_probs is None
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert (found.boxes_xyxy[:, 2] <= 96).all()


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_FPN_1x"])
def test_a_picture_without_objects_has_a_loss_that_every_weight_feels(name: str):
    """Else one process of several would wait for ever for the gradients of another."""
    model = build_network(small(name), CPU, None)
    with EventStorage():
        losses = model([blank_picture(), blank_picture()])
    sum(losses.values()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_detection_leaves_the_mode_of_the_network_as_it_was():
    ours = detector("retinanet")
    ours._model.train()
    ours.detect(pictures()[:1])
    assert ours._model.training


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_FPN_1x", "faster_rcnn_R_50_C4_1x"])
def test_imagenet_weights_find_their_places(name: str, tmp_path: Path):
    """Caffe2's names in a pickle, as the published R-50.pkl; C4 has res5 in its head, the others below a pyramid."""
    model = build_network(small(name), CPU, None)
    own = model.state_dict()
    places = {"conv1_w": "stem.conv1.weight", "res3_0_branch2b_w": "res3.0.conv2.weight",
              "res5_2_branch2c_w": "res5.2.conv3.weight"}  # fmt: skip
    targets = {blob: next(key for key in own if key.endswith(tail)) for blob, tail in places.items()}
    blobs = {blob: np.full(tuple(own[key].shape), 0.25, np.float32) for blob, key in targets.items()}
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps(blobs, protocol=2))
    report = fill_network(model, read_checkpoint(path).state_dict, str(path))
    assert report.num_loaded == 3
    assert all((model.state_dict()[key] == 0.25).all() for key in targets.values())


def test_weights_of_something_else_are_refused():
    model = build_network(small("retinanet"), CPU, None)
    with pytest.raises(ModelError, match="no tensor fits the backbone"):
        fill_network(model, {"features.0.weight": torch.zeros(1)}, "other.pth")


def test_bf16_on_the_cpu_is_for_retinanet():
    cfg = small("faster_rcnn_R_50_C4_1x")
    with pytest.raises(ConfigError, match="bf16 on the CPU works for RetinaNet alone"):
        build_network(cfg, CPU, torch.bfloat16)


def test_a_network_that_detectron2_cannot_build_is_one_sentence():
    cfg = small("retinanet").merged({"MODEL.RESNETS.DEPTH": 51}, "test")
    with pytest.raises(ConfigError, match="detectron2 cannot build this network"):
        build_network(cfg, CPU, None)
