"""Detectors: image sizes, batches of equal shape, and batches that do not fit into memory."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from tests.running import PROJECT_DIR, TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.base_detector import ShapeBucketBatcher, extract_dense, to_detections
from ymir_detectron2.engines.torch_detector import TorchDetector
from ymir_detectron2.retinanet.decoding import DecodedBoxes
from ymir_detectron2.retinanet.model import build_retinanet

CPU = torch.device("cpu")
ROOM = 5
"""Items that fit into the memory of `Device`."""


class Device:
    """Doubles numbers, remembers the batches, and has only so much memory."""

    def __init__(self, room: int = 100) -> None:
        self.batches: list[list[int]] = []
        self._room = room

    def double(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        if len(batch) > self._room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return [2 * item for item in batch]


def is_odd(item: int) -> int:
    return item % 2


@pytest.mark.parametrize(
    ("items", "size", "batches"),
    [
        pytest.param([], 4, [], id="nothing"),
        pytest.param([1, 2, 3, 4, 5], 4, [[1, 3, 5], [2, 4]], id="by shape"),
        pytest.param([1, 2, 3, 4, 5], 2, [[1, 3], [5], [2, 4]], id="small batches"),
        pytest.param([2, 4, 6, 8, 10], 0, [[2, 4, 6, 8], [10]], id="the CPU decides: four"),
    ],
)
def test_batches(items: list[int], size: int, batches: list[list[int]]):
    device = Device()
    assert ShapeBucketBatcher(size, CPU).run(items, is_odd, device.double) == [2 * item for item in items]
    assert device.batches == batches


def test_a_batch_that_does_not_fit_is_halved_for_good_with_one_warning(caplog: pytest.LogCaptureFixture):
    device, batcher = Device(ROOM), ShapeBucketBatcher(16, CPU)
    items = [2 * number for number in range(30)]
    with caplog.at_level(logging.WARNING):
        assert batcher.run(items, is_odd, device.double) == [2 * item for item in items]
        assert batcher.run(items, is_odd, device.double) == [2 * item for item in items]
    assert [len(batch) for batch in device.batches[:3]] == [16, 8, 4]
    assert {len(batch) for batch in device.batches[3:]} == {4, 2}
    assert [record.message for record in caplog.records if "memory ran out with 16 images" in record.message]
    assert len(caplog.records) == 1


def test_one_image_that_does_not_fit_is_an_error():
    with pytest.raises(RuntimeError, match="out of memory"):
        ShapeBucketBatcher(4, CPU).run([1, 3, 5], is_odd, Device(0).double)


def test_other_failures_are_not_tried_again():
    calls = []

    def fail(batch: list[int]) -> list[int]:
        calls.append(batch)
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        ShapeBucketBatcher(4, CPU).run([1, 3, 5], is_odd, fail)
    assert len(calls) == 1


def detector(**changes: Any) -> TorchDetector:
    """Untrained, with a threshold below which everything is a detection."""
    torch.manual_seed(0)
    cfg = load_config(TINY_CONFIG).merged(changes, "test")
    return TorchDetector(
        build_retinanet(cfg, 2).eval(), cfg, ("a", "b"), device=CPU, autocast_dtype=None, score_threshold=0.011,
        batch_size=2,
    )  # fmt: skip


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image_hw", "expected"),
    [((128, 128), (64, 64)), ((32, 40), (64, 80)), ((128, 512), (24, 96)), ((400, 100), (96, 24))],
)
def test_images_are_resized_as_the_configuration_says(image_hw: tuple[int, int], expected: tuple[int, int]):
    """INPUT.MIN_SIZE_TEST is 64, MAX_SIZE_TEST 96."""
    one = detector()
    assert one.network_hw(image_hw) == expected
    assert one.load(noise(*image_hw)).shape == (*expected, 3)


def test_an_image_of_the_right_size_is_not_touched():
    image = noise(64, 64)
    assert detector().load(image) is image


def test_results_do_not_depend_on_the_other_images_and_keep_their_order():
    one = detector()
    images = [noise(64, 64, 1), noise(70, 90, 2), noise(64, 64, 3), noise(64, 60, 4), noise(96, 33, 5)]
    together = one.detect(images)
    for image, detections in zip(images, together):
        (alone,) = one.detect([image])
        assert len(alone) == len(detections) > 0
        np.testing.assert_allclose(detections.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(detections.boxes_xyxy, alone.boxes_xyxy, atol=1e-2)
        assert (detections.boxes_xyxy[:, 2:] <= [image.shape[1], image.shape[0]]).all()
        assert detections.class_probs.shape == (len(detections), 2)


def test_no_images_give_no_results():
    assert detector().detect([]) == []


def test_the_same_pass_gives_detections_and_dense_outputs_without_padding():
    one, images = detector(), [noise(64, 64), noise(40, 60)]

    def sizes(outputs: Any) -> list[tuple[int, ...]]:
        assert [level.shape[1:] for level in outputs.features] == [level.shape[1:] for level in outputs.score_maps]
        return [tuple(scores.shape) for scores in outputs.score_maps]

    results = one.detect_and_extract(images, sizes)
    assert [extracted for _, extracted in results] == [
        [(2, 8, 8), (2, 4, 4), (2, 2, 2), (2, 1, 1), (2, 1, 1)],
        [(2, 5, 8), (2, 3, 4), (2, 2, 2), (2, 1, 1), (2, 1, 1)],  # 40 x 60 at strides 8 to 128, rounded up
    ]
    for (detections, _), plain in zip(results, one.detect(images)):
        np.testing.assert_array_equal(detections.boxes_xyxy, plain.boxes_xyxy)


def test_channels_are_in_the_order_of_the_network():
    """Reversing the channels and the order has no effect together."""
    image = noise(64, 64)
    bgr, rgb = detector(), detector(**{"INPUT.FORMAT": "RGB"})
    (expected,), (reversed_,) = bgr.detect([image]), rgb.detect([image[..., ::-1]])
    np.testing.assert_array_equal(reversed_.scores, expected.scores)
    assert not np.array_equal(rgb.detect([image])[0].scores, expected.scores)


def test_a_training_that_is_evaluated_goes_on_as_a_training():
    one = detector()
    one._model.train()
    statistics = {name: value.clone() for name, value in one._model.state_dict().items()}
    one.detect([noise(64, 64)])
    assert one._model.training
    assert all(torch.equal(value, statistics[name]) for name, value in one._model.state_dict().items())


def test_a_failure_does_not_leave_a_training_in_evaluation():
    one = detector()
    one._model.train()

    def fail(_: Any) -> None:
        raise KeyError("extract")

    with pytest.raises(KeyError):
        one.detect_and_extract([noise(64, 64)], fail)
    assert one._model.training


def test_arrays_that_torch_cannot_share_are_copied():
    """Read-only, as PIL gives them, or mirrored."""
    image = noise(64, 64)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    mirrored.flags.writeable = False
    one = detector()
    np.testing.assert_array_equal(one.detect([image[:, ::-1]])[0].scores, one.detect([mirrored])[0].scores)


def decoded(count: int) -> DecodedBoxes:
    classes = torch.zeros(count, dtype=torch.int64)
    return DecodedBoxes(torch.zeros(count, 4), torch.zeros(count), classes, torch.ones(count, 2))


def test_tensors_become_arrays():
    detections = to_detections(decoded(3))
    kinds = [array.dtype.name for array in (detections.boxes_xyxy, detections.scores, detections.classes)]
    assert kinds == ["float32", "float32", "int64"]
    assert len(detections) == 3


def test_each_image_gets_its_own_dense_outputs():
    levels = [torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)]
    logits = [torch.zeros(2, 16, 1)]
    hws = [(8, 16), (32, 8)]
    results = extract_dense([decoded(1), decoded(0)], levels, logits, [8], hws, lambda outputs: outputs.features[0])
    assert [len(detections) for detections, _ in results] == [1, 0]
    assert torch.equal(results[0][1], torch.zeros(1, 1, 2))
    assert torch.equal(results[1][1], torch.ones(1, 4, 1))
    assert [extracted for _, extracted in extract_dense([decoded(1)], levels, logits, [8], hws, None)] == [None]


LITTLE_MEMORY = """
import logging, resource, sys
import numpy as np, torch
from ymir_detectron2.engines.torch_detector import TorchDetector
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.retinanet.model import build_retinanet

logging.basicConfig(stream=sys.stdout, format="%(message)s")
torch.set_num_threads(1)
torch.manual_seed(0)
cfg = load_config("tests/data/tiny.yaml")
detector = TorchDetector(
    build_retinanet(cfg, 2).eval(), cfg, ("a", "b"), device=torch.device("cpu"), autocast_dtype=None,
    score_threshold=0.011, batch_size=64,
)
images = [np.random.default_rng(n).integers(0, 256, (320, 320, 3), dtype=np.uint8) for n in range(64)]
alone = detector.detect(images[:1])
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20, resource.RLIM_INFINITY))
together = detector.detect(images)
same = np.allclose(together[0].boxes_xyxy, alone[0].boxes_xyxy, atol=0.01)
print("detections of", len(together), detector._batcher.size < 64, same)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch 1.10 itself crashes when it lacks memory here")
def test_a_real_process_with_little_memory_halves_its_batches_until_they_fit():
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], cwd=PROJECT_DIR, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "detections of 64 True True"
    assert [line for line in lines if line.startswith("memory ran out with 64 images at a time; going on with 32")]
    assert len(lines) == 2
