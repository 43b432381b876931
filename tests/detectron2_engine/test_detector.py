"""Detectors of the detectron2 engine: class probabilities, order, and images that do not depend on their batch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from tests.detectron2_engine.test_network import CPU, small

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from ymir_detectron2.engines.detectron2_engine.detector import Detectron2Detector
    from ymir_detectron2.engines.detectron2_engine.network import build_network


def detector(name: str, **options) -> Detectron2Detector:
    torch.manual_seed(0)
    cfg = small(name)
    model = build_network(cfg, CPU, None)
    return Detectron2Detector(
        model, cfg, ("a", "b"), device=CPU, autocast_dtype=None, **{"batch_size": 4, **options}
    )


def images() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*hw, 3), dtype=np.uint8) for hw in ((64, 96), (48, 64), (64, 96), (90, 60))]


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_C4_1x"])
def test_an_image_has_the_same_boxes_in_any_batch(name: str):
    in_batches = detector(name).detect(images())
    one_by_one = [found for image in images() for found in detector(name, batch_size=1).detect([image])]
    assert sum(map(len, in_batches)) > 0
    for ours, theirs in zip(in_batches, one_by_one):
        assert ours.classes.tolist() == theirs.classes.tolist()
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.01)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)


def test_a_retinanet_returns_the_probability_of_every_class():
    for found in detector("retinanet").detect(images()):
        assert found.class_probs.shape == (len(found), 2)
        np.testing.assert_allclose(found.class_probs[np.arange(len(found)), found.classes], found.scores, atol=1e-6)


def test_other_networks_return_scores_only():
    found = detector("faster_rcnn_R_50_C4_1x").detect(images())[0]
    assert found.class_probs is None
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert (found.boxes_xyxy[:, 2] <= 96).all()


def test_detection_leaves_the_mode_of_the_network_as_it_was():
    ours = detector("retinanet")
    ours._model.train()
    ours.detect(images()[:1])
    assert ours._model.training
