"""The learning rate of every step next to that of detectron2's own scheduler."""

from __future__ import annotations

import warnings

import pytest
import torch

from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.training.lr_schedule import learning_rate_factor

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.config import get_cfg
    from detectron2.solver import build_lr_scheduler

COMMON = {"SOLVER.MAX_ITER": 120, "SOLVER.WARMUP_ITERS": 20, "SOLVER.BASE_LR": 0.02}
SCHEDULES = {
    "steps": {"SOLVER.STEPS": (60, 100)},
    "a step within the warm-up": {"SOLVER.STEPS": (10, 100)},
    "a step beyond the end": {"SOLVER.STEPS": (60, 500)},
    "constant warm-up": {"SOLVER.STEPS": (60, 100), "SOLVER.WARMUP_METHOD": "constant", "SOLVER.WARMUP_FACTOR": 0.3},
    "no warm-up": {"SOLVER.STEPS": (60, 100), "SOLVER.WARMUP_ITERS": 0},
    "cosine": {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR"},
    "cosine to a floor": {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER.BASE_LR_END": 0.002},
    "fixed gamma": {"SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.NUM_DECAYS": 3},
    "fixed gamma at every other step": {
        "SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.NUM_DECAYS": 59, "SOLVER.GAMMA": 0.9,
        "SOLVER.WARMUP_ITERS": 0,
    },
    "rescaled steps": {"SOLVER.STEPS": (61, 101), "SOLVER.RESCALE_INTERVAL": True},
    "rescaled fixed gamma": {
        "SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.RESCALE_INTERVAL": True,
    },
    "rescaled cosine": {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER.RESCALE_INTERVAL": True},
}


@pytest.mark.parametrize("values", SCHEDULES.values(), ids=SCHEDULES)
def test_learning_rate_is_that_of_detectron2(values):
    values = {**COMMON, **values}
    theirs = get_cfg()
    for key, value in values.items():
        if key.split(".")[1] not in theirs.SOLVER:
            pytest.skip(f"this detectron2 has no {key}")
        theirs.merge_from_list([key, value])
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = build_lr_scheduler(theirs, optimizer)
    ours = RetinaNetConfig.default().merged(values, "test")
    for step in range(values["SOLVER.MAX_ITER"]):
        if step:
            optimizer.step()
            scheduler.step()  # not after the last step, where detectron2's fixed gamma runs off its table
        assert learning_rate_factor(ours, step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), step
