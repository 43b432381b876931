"""torch's compiler, which a user may switch on: the same boxes, and a sentence where it cannot work."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.engines.torch_detector import TorchDetector
from ymir_detectron2.retinanet.config import load_config
from ymir_detectron2.retinanet.inference_form import to_inference_form
from ymir_detectron2.retinanet.model import build_retinanet


def detector(*, fix_kernels: bool) -> TorchDetector:
    torch.manual_seed(0)
    cfg = load_config(TINY_CONFIG)
    model = build_retinanet(cfg, 2).eval().to(memory_format=torch.channels_last)
    to_inference_form(model, fix_kernels=fix_kernels)
    return TorchDetector(
        model, cfg, ("a", "b"), device=torch.device("cpu"), autocast_dtype=None, score_threshold=0.011, batch_size=2
    )


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="this torch has no compiler")
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_the_boxes_stay():
    pictures = [np.random.default_rng(n).integers(0, 256, (64, 96, 3), dtype=np.uint8) for n in range(2)]
    plain, compiled = detector(fix_kernels=True), detector(fix_kernels=False)
    compiled.compile()
    for ours, theirs in zip(compiled.detect(pictures), plain.detect(pictures)):
        assert len(ours) == len(theirs) > 0
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.01)


def test_without_a_compiler_it_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("CXX", "no-such-compiler")
    plain = detector(fix_kernels=False)
    with caplog.at_level(logging.WARNING):
        plain.compile()
    assert "going on without" in caplog.text
    assert len(plain.detect([np.zeros((64, 64, 3), dtype=np.uint8)])) >= 0
