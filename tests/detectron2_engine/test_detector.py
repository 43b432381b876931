"""Detectors of the detectron2 engine: class probabilities, order, and images that do not depend on their batch."""

from __future__ import annotations

import warnings
from types import MappingProxyType
from typing import Any, Mapping

import numpy as np
import pytest
import torch

from tests.detectron2_engine.test_network import CPU, small
from ymir_detectron2.inference.predict import predict_images

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.modeling import GeneralizedRCNNWithTTA

    from ymir_detectron2.engines.detectron2_engine.detector import Detectron2Detector
    from ymir_detectron2.engines.detectron2_engine.network import build_network


AUGMENTED = {"TEST.AUG.ENABLED": True, "TEST.AUG.MIN_SIZES": (48, 64, 100), "TEST.AUG.MAX_SIZE": 120}


def detector(name: str, values: Mapping[str, Any] = MappingProxyType({}), **options) -> Detectron2Detector:
    torch.manual_seed(0)
    cfg = small(name).merged(values, "test")
    model = build_network(cfg, CPU)
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


CASCADE = {"MODEL.ROI_HEADS.NAME": "CascadeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True}


@pytest.mark.parametrize(
    ("name", "values"), [("retinanet", {}), ("faster_rcnn_R_50_C4_1x", {}), ("faster_rcnn_R_50_FPN_1x", CASCADE)]
)
def test_the_threshold_may_change_between_two_calls(name: str, values: dict[str, Any]):
    """As if the detector had been built with it."""
    key = "MODEL.RETINANET.SCORE_THRESH_TEST" if name == "retinanet" else "MODEL.ROI_HEADS.SCORE_THRESH_TEST"
    ours = detector(name, values)
    assert ours.score_threshold == ours._cfg[key]
    threshold = float(np.median(np.concatenate([found.scores for found in ours.detect(images())])))
    ours.score_threshold = threshold
    expected = detector(name, {**values, key: threshold}).detect(images())
    assert sum(map(len, expected)) > 0
    for found, one in zip(ours.detect(images()), expected):
        np.testing.assert_array_equal(found.scores, one.scores)


@pytest.mark.parametrize("name", ["faster_rcnn_R_50_C4_1x", "faster_rcnn_R_50_FPN_1x"])
def test_boxes_above_a_threshold_are_those_of_a_detector_that_has_it(name: str):
    """Mining lowers the threshold where there are no score maps; its inference step writes what is above it."""
    ours = detector(name)
    assert not ours.has_dense_outputs
    assert detector("retinanet").has_dense_outputs
    threshold = float(np.median(np.concatenate([found.scores for found in ours.detect(images())])))
    lowered = list(predict_images(ours, images()))
    ours.score_threshold = threshold
    expected = [image.detections for image in predict_images(ours, images())]
    above = [image.above(threshold).detections for image in lowered]
    assert 0 < sum(map(len, expected)) < sum(len(image.detections) for image in lowered)
    for found, one in zip(above, expected):
        np.testing.assert_array_equal(found.scores, one.scores)
        np.testing.assert_array_equal(found.boxes_xyxy, one.boxes_xyxy)


def test_detection_leaves_the_mode_of_the_network_as_it_was():
    ours = detector("retinanet")
    ours._model.train()
    ours.detect(images()[:1])
    assert ours._model.training


@pytest.mark.parametrize("name", ["faster_rcnn_R_50_FPN_1x", "faster_rcnn_R_50_C4_1x"])
def test_test_time_augmentation_of_an_rcnn_is_that_of_detectron2(name: str):
    ours = detector(name, AUGMENTED)
    # one by one: in a batch it pads copies of different sizes, which ours never does
    theirs = GeneralizedRCNNWithTTA(ours._cfg.node(), ours._model, batch_size=1)
    for image in images():
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        with torch.no_grad():
            ours._model.eval()
            (expected,) = theirs([{"image": tensor, "height": image.shape[0], "width": image.shape[1]}])
        (found,) = ours.detect([image])
        instances = expected["instances"]
        assert len(found) == len(instances) > 10
        assert found.classes.tolist() == instances.pred_classes.tolist()
        np.testing.assert_allclose(found.scores, instances.scores.numpy(), atol=1e-5)
        np.testing.assert_allclose(found.boxes_xyxy, instances.pred_boxes.tensor.numpy(), atol=0.01)


def test_a_retinanet_is_augmented_in_the_same_way():
    """detectron2 refuses to: its class is for GeneralizedRCNN only."""
    image = images()[0]
    (plain,) = detector("retinanet").detect([image])
    (found,) = detector("retinanet", AUGMENTED).detect([image])
    assert found.scores.max() >= plain.scores.max(), "one of the copies is as large as the image"
    assert found.class_probs.shape == (len(found), 2)
    with pytest.raises(AssertionError, match="TTA is only supported on GeneralizedRCNN"):
        GeneralizedRCNNWithTTA(small("retinanet").node(), detector("retinanet")._model)
