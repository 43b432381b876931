"""The learning rate schedule: scaled to the length of a run, its factor at each step, and how it is applied.

    learning rate of a step = base learning rate x `learning_rate_factor` x `NanRecovery.lr_scale`

The base learning rate is decided in resolve_config.py; the product is taken in `loop.Trainer.train_step`. A step of the
schedule is not always that of the run, see training_plan.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Mapping

import torch

from ..config.engine_config import AnyConfig, EngineConfig
from .training_plan import TrainingPlan

_EPSILON = 1e-6  # of the run, for shares such as 0.29 x 100 that come out below 29; as in fvcore's schedulers
EVALUATIONS_PER_RUN = 10  # where neither eval_period nor the config specifies a period


def fit_schedule(cfg: AnyConfig, max_iter: int, longest_period: int = 0) -> AnyConfig:
    """Return the config with its schedule stretched or shortened to `max_iter` steps.

    STEPS, WARMUP_ITERS and EVAL_PERIOD keep their share of the run: a config written for 90,000 steps still decays
    twice in a run of 2,000. CHECKPOINT_PERIOD follows the evaluations.

    Args:
        longest_period: steps between two evaluations at most where the config has no period; 0: any number.
    """
    ratio = max_iter / cfg["SOLVER.MAX_ITER"]
    # a config without a period, and a period that rounds to 0, mean ten evaluations
    tenth = math.ceil(max_iter / EVALUATIONS_PER_RUN)
    eval_period = round(cfg["TEST.EVAL_PERIOD"] * ratio) or min(tenth, longest_period or tenth)
    values: Mapping[str, Any] = {
        "SOLVER.MAX_ITER": max_iter,
        # not before the first step, where detectron2 accepts no decay
        "SOLVER.STEPS": [max(1, round(step * ratio)) for step in cfg["SOLVER.STEPS"]],
        "SOLVER.WARMUP_ITERS": round(cfg["SOLVER.WARMUP_ITERS"] * ratio),
        "SOLVER.CHECKPOINT_PERIOD": eval_period,
        "TEST.EVAL_PERIOD": eval_period,
    }
    return cfg.merged(values, "the schedule fitted to max_iter")


def build_plan(cfg: EngineConfig) -> TrainingPlan:
    """Return the plan of a training that ends where its configuration says."""
    max_iter, warmup_iters = cfg["SOLVER.MAX_ITER"], min(cfg["SOLVER.WARMUP_ITERS"], cfg["SOLVER.MAX_ITER"])
    decay_steps = _decay_steps(cfg)
    if cfg["SOLVER.RESCALE_INTERVAL"]:  # the schedule is compressed into the steps after the warm-up
        decay_steps = [warmup_iters + step / max_iter * (max_iter - warmup_iters) for step in decay_steps]
    return TrainingPlan(max_iter, cfg["TEST.EVAL_PERIOD"], decay_steps)


def _decay_steps(cfg: EngineConfig) -> list[float]:
    """Return the steps at which `_decay` falls; [] where it falls all the time."""
    if cfg["SOLVER.LR_SCHEDULER_NAME"] == "WarmupMultiStepLR":
        return list(cfg["SOLVER.STEPS"])
    if cfg["SOLVER.LR_SCHEDULER_NAME"] == "WarmupCosineLR":
        return []
    count = cfg["SOLVER.NUM_DECAYS"] + 1
    return [cfg["SOLVER.MAX_ITER"] * number / count for number in range(1, count)]


def learning_rate_factor(cfg: EngineConfig, step: float) -> float:
    """Return the factor on BASE_LR at a step of the schedule, from 0 on: learning rate warm-up, then the decay.

    Source: the behaviour of detectron2's `build_lr_scheduler`: warm-up ends at the value of the schedule at that step,
        or, with RESCALE_INTERVAL, the schedule is compressed into the steps after the warm-up.
    """
    max_iter, rescale = cfg["SOLVER.MAX_ITER"], cfg["SOLVER.RESCALE_INTERVAL"]
    warmup_iters = min(cfg["SOLVER.WARMUP_ITERS"], max_iter)
    # 1) after the warm-up
    if step >= warmup_iters:
        return _decay(cfg, (step - warmup_iters) / (max_iter - warmup_iters) * max_iter if rescale else step)
    # 2) constant warm-up
    start = cfg["SOLVER.WARMUP_FACTOR"] * _decay(cfg, 0)
    if cfg["SOLVER.WARMUP_METHOD"] == "constant":
        return start
    # 3) linear warm-up
    end = _decay(cfg, 0 if rescale else warmup_iters)
    return start + (end - start) * step / warmup_iters


def _decay(cfg: EngineConfig, step: float) -> float:
    """Return the factor of the schedule without its warm-up."""
    name, max_iter, gamma = cfg["SOLVER.LR_SCHEDULER_NAME"], cfg["SOLVER.MAX_ITER"], cfg["SOLVER.GAMMA"]
    if name == "WarmupMultiStepLR":
        # bisect counts equal milestones twice: in a run of a few steps two decays may fall on one step, and both apply
        milestones = sorted(milestone for milestone in cfg["SOLVER.STEPS"] if milestone <= max_iter)
        return float(gamma ** bisect_right(milestones, int(step + _EPSILON * max_iter)))
    if name == "WarmupCosineLR":
        end = cfg["SOLVER.BASE_LR_END"] / cfg["SOLVER.BASE_LR"]
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * step / max_iter))
    # WarmupStepWithFixedGammaLR, the only other one that `check_values` accepts
    num_decays = cfg["SOLVER.NUM_DECAYS"]
    return float(gamma ** min(num_decays, int((step / max_iter + _EPSILON) * (num_decays + 1))))


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every parameter group to `factor` times its own base learning rate; biases may have another one."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
