"""How long, how often and how fast: the schedule of a config stretched to a run, and the learning rate of each step."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Mapping

from ..engines.base import AnyConfig, EngineConfig
from ..errors import ConfigError
from ..retinanet.config import Config

EVALUATIONS_PER_RUN = 10  # where neither the form nor the config says how often


def fit_schedule(cfg: AnyConfig, max_iter: int) -> AnyConfig:
    """Stretch or shorten a config's schedule to `max_iter` steps.

    STEPS, WARMUP_ITERS, EVAL_PERIOD and CHECKPOINT_PERIOD keep their share of the run: a config written for 90,000
    steps still decays twice when the form says 2,000.
    """
    ratio = max_iter / cfg["SOLVER.MAX_ITER"]
    eval_period = round(cfg["TEST.EVAL_PERIOD"] * ratio) or math.ceil(max_iter / EVALUATIONS_PER_RUN)
    values: Mapping[str, Any] = {
        "SOLVER.MAX_ITER": max_iter,
        "SOLVER.STEPS": [round(step * ratio) for step in cfg["SOLVER.STEPS"]],
        "SOLVER.WARMUP_ITERS": round(cfg["SOLVER.WARMUP_ITERS"] * ratio),
        "SOLVER.CHECKPOINT_PERIOD": eval_period,
        "TEST.EVAL_PERIOD": eval_period,
    }
    return cfg.merged(values, "the schedule fitted to max_iter")


def check_schedule(cfg: EngineConfig) -> None:
    """Refuse numbers that no run can have.

    Raises:
        ConfigError: names the key and its value.
    """
    for key, least in (("SOLVER.MAX_ITER", 1), ("SOLVER.IMS_PER_BATCH", 1), ("TEST.EVAL_PERIOD", 0)):
        if cfg[key] < least:
            raise ConfigError(f"{key}: must be at least {least}, found {cfg[key]}; correct it or leave it out")


def learning_rate_factor(cfg: Config, step: int) -> float:
    """What BASE_LR is multiplied with at one step, counted from 0.

    Source: the behaviour of detectron2's `build_lr_scheduler`: warm-up ends at the value that the schedule has there,
    or, with RESCALE_INTERVAL, the schedule is pressed into what warm-up leaves of the run.
    """
    max_iter, rescale = cfg["SOLVER.MAX_ITER"], cfg["SOLVER.RESCALE_INTERVAL"]
    warmup_iters = min(cfg["SOLVER.WARMUP_ITERS"], max_iter)
    if step >= warmup_iters:
        return _decay(cfg, (step - warmup_iters) / (max_iter - warmup_iters) * max_iter if rescale else step)
    start = cfg["SOLVER.WARMUP_FACTOR"] * _decay(cfg, 0)
    if cfg["SOLVER.WARMUP_METHOD"] == "constant":
        return start
    end = _decay(cfg, 0 if rescale else warmup_iters)
    return start + (end - start) * step / warmup_iters


def _decay(cfg: Config, step: float) -> float:
    """The schedule without its warm-up."""
    name, max_iter, gamma = cfg["SOLVER.LR_SCHEDULER_NAME"], cfg["SOLVER.MAX_ITER"], cfg["SOLVER.GAMMA"]
    if name == "WarmupMultiStepLR":
        milestones = sorted(milestone for milestone in cfg["SOLVER.STEPS"] if milestone <= max_iter)
        return float(gamma ** bisect_right(milestones, step))
    if name == "WarmupCosineLR":
        end = cfg["SOLVER.BASE_LR_END"] / cfg["SOLVER.BASE_LR"]
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * step / max_iter))
    # WarmupStepWithFixedGammaLR, the last one that `check_supported` lets pass
    return float(gamma ** int(step / max_iter * (cfg["SOLVER.NUM_DECAYS"] + 1)))
