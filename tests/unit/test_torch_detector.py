"""The detector of the torch engine: its threshold, and torch's compiler, which a user may switch on."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.torch_detector import TorchDetector
from ymir_detectron2.retinanet.inference_optimizations import prepare_for_inference
from ymir_detectron2.retinanet.model import build_retinanet


def detector(*, fix_kernels: bool, score_threshold: float = 0.011) -> TorchDetector:
    torch.manual_seed(0)
    cfg = load_config(TINY_CONFIG)
    model = build_retinanet(cfg, 2).eval().to(memory_format=torch.channels_last)
    prepare_for_inference(model, fix_kernels=fix_kernels)
    return TorchDetector(
        model, cfg, ("a", "b"), device=torch.device("cpu"), autocast_dtype=None, score_threshold=score_threshold,
        batch_size=2,
    )  # fmt: skip


def test_only_scores_above_the_threshold_are_detections():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    scores = detector(fix_kernels=True, score_threshold=0.0).detect([image])[0].scores
    threshold = float(np.median(scores))
    fewer = detector(fix_kernels=True, score_threshold=threshold).detect([image])[0].scores
    assert 0 < len(fewer) == (scores > threshold).sum()
    changed = detector(fix_kernels=True, score_threshold=0.0)
    changed.score_threshold = threshold
    assert changed.detect([image])[0].scores.tolist() == fewer.tolist()


@pytest.mark.slow  # compiles some 50 kernels with g++
@pytest.mark.skipif(not hasattr(torch, "compile"), reason="this torch has no compiler")
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_detects_the_same_boxes():
    images = [np.random.default_rng(n).integers(0, 256, (64, 96, 3), dtype=np.uint8) for n in range(2)]
    plain, compiled = detector(fix_kernels=True), detector(fix_kernels=False)
    compiled.compile()
    for ours, theirs in zip(compiled.detect(images), plain.detect(images)):
        assert len(ours) == len(theirs) > 0
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.01)


def test_without_a_compiler_there_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("CXX", "no-such-compiler")
    plain = detector(fix_kernels=False)
    with caplog.at_level(logging.WARNING):
        plain.compile()
    reason = "there is no C++ compiler (g++) here"
    if not hasattr(torch, "compile"):
        reason = f"torch {torch.__version__} has no compiler, it came with 2.0"
    assert [record.getMessage() for record in caplog.records] == [f"compile: {reason}; going on without"]
    assert len(plain.detect([np.zeros((64, 64, 3), dtype=np.uint8)])[0]) > 0
