"""A real process with little memory: a batch that does not fit is halved, and gives what small batches give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
SCRIPT = """
import logging, resource, sys
import numpy as np, torch
from ymir_detectron2.engines.torch_detector import TorchDetector
from ymir_detectron2.retinanet.config import load_config
from ymir_detectron2.retinanet.model import build_retinanet

logging.basicConfig(stream=sys.stdout, format="%(message)s")
torch.set_num_threads(1)
torch.manual_seed(0)
cfg = load_config("tests/data/tiny.yaml")
detector = TorchDetector(
    build_retinanet(cfg, 2).eval(), cfg, ("a", "b"), device=torch.device("cpu"), autocast_dtype=None,
    score_threshold=0.011, batch_size=64,
)
pictures = [np.random.default_rng(n).integers(0, 256, (320, 320, 3), dtype=np.uint8) for n in range(64)]
alone = detector.detect(pictures[:1])
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20, resource.RLIM_INFINITY))
found = detector.detect(pictures)
same = np.allclose(found[0].boxes_xyxy, alone[0].boxes_xyxy, atol=0.01)
print("found", len(found), detector._batches.size < 64, same)
"""


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch 1.10 itself crashes when it lacks memory here")
def test_a_batch_that_does_not_fit_is_halved_until_it_does():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT_DIR, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "found 64 True True"
    assert [line for line in lines if line.startswith("memory ran out with 64 pictures at a time; going on with 32")]
    assert len(lines) == 2
