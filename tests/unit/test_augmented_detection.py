"""Test-time augmentation: boxes of resized and mirrored copies come back to their places, every object once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.rectangle_detector import BLUE, GREEN, RED, draw, find_rectangles
from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.detections import Detections
from ymir_detectron2.engines.augmented_detection import BoxAugmentation
from ymir_detectron2.engines.torch_detector import TorchDetector
from ymir_detectron2.retinanet.model import build_retinanet

IMAGE = draw((10, 20, 40, 50, BLUE, 200), (70, 30, 110, 80, RED, 240), (60, 5, 90, 25, GREEN, 120))
BOXES = {BLUE: [10, 20, 40, 50], RED: [70, 30, 110, 80], GREEN: [60, 5, 90, 25]}
AUGMENTATION = BoxAugmentation((48, 96, 192), 400, True, 0.5, 100)


class Recorder:
    """Finds rectangles, and remembers the sizes that it was given."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def detect(self, images) -> list[Detections]:
        self.sizes += [tuple(image.shape[:2]) for image in images]
        return find_rectangles([np.asarray(image) for image in images])


def test_every_object_is_found_once_and_where_it_is():
    for image in (IMAGE, torch.from_numpy(IMAGE)):
        (found,) = AUGMENTATION.detect([image], Recorder().detect)
        assert sorted(found.classes.tolist()) == [BLUE, GREEN, RED]
        for box, class_id in zip(found.boxes_xyxy, found.classes.tolist()):
            np.testing.assert_allclose(box, BOXES[class_id], atol=2)  # the smallest copy has pixels twice as large
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert found.class_probs.shape == (3, 3)


def test_copies_are_as_many_and_as_large_as_the_keys_say():
    recorder = Recorder()
    AUGMENTATION._replace(max_edge=200).detect([IMAGE, IMAGE.transpose(1, 0, 2)], recorder.detect)
    wide = [(48, 64), (48, 64), (96, 128), (96, 128), (150, 200), (150, 200)]  # 192 would make the longer side 256
    assert recorder.sizes[0::2] == wide
    assert recorder.sizes[1::2] == [(width, height) for height, width in wide]
    assert AUGMENTATION.num_copies == 6
    recorder = Recorder()
    AUGMENTATION._replace(flip=False).detect([IMAGE], recorder.detect)
    assert recorder.sizes == [(48, 64), (96, 128), (192, 256)]


@pytest.mark.parametrize(("limit", "count"), [(2, 2), (0, 0), (-1, 3), (100, 3)])
def test_the_best_boxes_are_kept(limit: int, count: int):
    (found,) = AUGMENTATION._replace(max_detections=limit).detect([IMAGE], find_rectangles)
    assert len(found) == count
    assert found.classes.tolist() == [RED, BLUE, GREEN][:count], "in the order of their brightness"


def test_boxes_overlap_where_the_threshold_of_the_network_lets_them():
    def two_boxes(images) -> list[Detections]:
        """Two of one class with IoU 0.6, and one of another class in the same place."""
        boxes = np.array([[0, 0, 40, 40], [0, 0, 40, 24], [0, 0, 40, 40]], np.float32)
        scores, classes = np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 0, 1])
        return [Detections(boxes * (image.shape[0] / 96), scores, classes) for image in images]

    plain = AUGMENTATION._replace(flip=False)
    (found,) = plain.detect([IMAGE], two_boxes)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    (found,) = plain._replace(nms_threshold=0.7).detect([IMAGE], two_boxes)
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_an_image_without_boxes():
    (found,) = AUGMENTATION.detect([np.zeros((40, 60, 3), np.uint8)], find_rectangles)
    assert len(found) == 0


def detector(**values) -> TorchDetector:
    torch.manual_seed(0)
    cfg = load_config(TINY_CONFIG).merged({"TEST.AUG.MIN_SIZES": (48, 64), **values}, "test")
    return TorchDetector(
        build_retinanet(cfg, 2).eval(), cfg, ("a", "b"), device=torch.device("cpu"), autocast_dtype=None,
        score_threshold=0.004, batch_size=4,
    )  # fmt: skip


def test_a_detector_augments_if_its_configuration_says_so():
    image = detector().load(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    plain, augmented = detector(), detector(**{"TEST.AUG.ENABLED": True})
    expected = BoxAugmentation((48, 64), 4000, True, 0.5, 100).detect([image], plain.detect)
    (found,) = augmented.detect([image])
    np.testing.assert_array_equal(found.boxes_xyxy, expected[0].boxes_xyxy)
    np.testing.assert_array_equal(found.scores, expected[0].scores)
    assert not np.array_equal(found.scores, plain.detect([image])[0].scores)
    # without resizing and mirroring, what is left is the detection itself
    (same,) = detector(
        **{"TEST.AUG.ENABLED": True, "TEST.AUG.MIN_SIZES": (64,), "TEST.AUG.FLIP": False}
    ).detect([image])
    np.testing.assert_array_equal(same.scores, plain.detect([image])[0].scores)


def test_dense_outputs_are_those_of_the_image_itself():
    image = detector().load(np.random.default_rng(1).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    augmented = detector(**{"TEST.AUG.ENABLED": True})
    ((found, maps),) = augmented.detect_and_extract([image], lambda outputs: outputs.score_maps)
    ((_, expected),) = detector().detect_and_extract([image], lambda outputs: outputs.score_maps)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(maps, expected))
    np.testing.assert_array_equal(found.scores, augmented.detect([image])[0].scores)
