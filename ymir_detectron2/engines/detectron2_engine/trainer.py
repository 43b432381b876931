"""The training steps of the detectron2 engine: its DefaultTrainer, driven by `training.loop.train`.

The learning rate of a step is that of training/lr_schedule.py, as in the torch engine: detectron2's schedulers, which
have the same values (docs/parity.md), cannot be made for decays that fall on one step in a run of a few steps, and its
WarmupStepWithFixedGammaLR fails after the last step.
"""

from __future__ import annotations

import functools
import math
import time
import weakref
from typing import Any, Mapping

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, hooks
from detectron2.engine.train_loop import AMPTrainer, SimpleTrainer, TrainerBase
from detectron2.utils.events import EventStorage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ... import distributed
from ...training.ema import ModelEma
from ...training.lr_schedule import learning_rate_factor, set_learning_rate
from ...training.metric_logger import StepStats
from ...training.nan_recovery import NanRecovery
from ...training.optimizer import gradient_norm
from ...training.training_state import TrainingState, random_state, set_random_state
from .configuration import Detectron2Config
from .data import ReadableLoader


class Trainer(DefaultTrainer):
    """DefaultTrainer with its solver, loader and PreciseBN, one step at a time.

    Its hooks for checkpoints, evaluation and writers are left out: `TrainingRun` does that for both engines.
    """

    def __init__(self, config: Detectron2Config, model: nn.Module, device: torch.device, ema: ModelEma | None) -> None:
        """
        Args:
            model: with its initial weights, on `device`.
        """
        # Not DefaultTrainer's constructor: it would build a model, and take the number of a process for that of its
        # GPU, which fails on the CPU and for gpu_id 2,3.
        TrainerBase.__init__(self)
        self._config = config
        self.cfg = cfg = config.node()
        self._device = device
        self._ema = ema
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        optimizer = self.build_optimizer(cfg, model)
        self._loader = self.build_train_loader(cfg)
        trainer_class = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = trainer_class(_data_parallel(model, device), self._loader, optimizer)
        for group in optimizer.param_groups:  # a bias may have another base learning rate
            group["initial_lr"] = group["lr"]
        self.checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self._schedule_step = 0.0
        self._gradient_norm = math.nan
        self._check_gradient(optimizer, is_scaled=cfg.SOLVER.AMP.ENABLED)
        scaler = getattr(self._trainer, "grad_scaler", None)
        self._state = TrainingState(model, {"optimizer": optimizer, "scaler": scaler, "average": ema})
        self._recovery = NanRecovery(self._state, cfg.TEST.EVAL_PERIOD)
        self.storage = EventStorage()
        self.register_hooks(self.build_hooks())
        self.before_train()

    @property
    def skipped(self) -> set[str]:
        """See `StepTrainer`."""
        return self._loader.skipped

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> ReadableLoader:
        return ReadableLoader(cfg, may_skip_a_batch=distributed.world_size() == 1)

    def build_hooks(self) -> list[HookBase]:
        """Keep the hooks that change the weights."""
        return [hook for hook in super().build_hooks() if isinstance(hook, hooks.PreciseBN)]

    def build_writers(self) -> list[Any]:
        return []

    def train_step(self, step: int, schedule_step: float | None = None) -> StepStats:
        """Take a step with the hooks around it; the body of detectron2's `TrainerBase.train`."""
        start_s = time.perf_counter()
        self._schedule_step = step - 1 if schedule_step is None else schedule_step
        self._recovery.snapshot(step - 1)
        self.iter = step - 1
        with self.storage:  # where the model puts its losses
            self.before_step()
            self.run_step()
            self.after_step()
        if self._ema is not None:
            self._ema.update()  # after PreciseBN, whose statistics are averaged too
        self.storage.clear_images()  # with VIS_PERIOD networks draw some; without a writer they would pile up
        latest = {name: value for name, (value, _) in self.storage.latest().items()}
        losses = {name: value for name, value in latest.items() if name.startswith("loss")}
        learning_rate = self.cfg.SOLVER.BASE_LR * self._learning_rate_factor()
        return StepStats(step, losses, self._gradient_norm, learning_rate, time.perf_counter() - start_s)

    def _learning_rate_factor(self) -> float:
        """Return that of the current step, halved by each NaN recovery."""
        return learning_rate_factor(self._config, self._schedule_step) * self._recovery.lr_scale

    def run_step(self) -> None:
        """Run forward, backward and optimizer step, with the next images after a NaN or infinite loss or gradient."""
        while True:
            problem = ""
            set_learning_rate(self._trainer.optimizer, self._learning_rate_factor())
            try:
                super().run_step()
            except FloatingPointError as error:  # from detectron2's check of the losses, or ours of the gradient
                problem = " ".join(str(error).split())
            # detectron2 checks the losses in the first process only: the others may have updated their weights by now
            if distributed.all_reduce_and(not problem, self._device):
                return
            self._recovery.recover(self.iter + 1, problem)

    def _check_gradient(self, optimizer: torch.optim.Optimizer, *, is_scaled: bool) -> None:
        """Check the gradient before each optimizer step; if `is_scaled`, fp16's loss scaler handles infinities."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        take_step = optimizer.step

        # the only place between backward and the weights that SimpleTrainer and AMPTrainer of all releases share
        @functools.wraps(take_step)
        def checked_step(*args: Any, **kwargs: Any) -> Any:
            self._gradient_norm = float(gradient_norm(parameters))
            if not is_scaled and not math.isfinite(self._gradient_norm):
                raise FloatingPointError(f"the norm of the gradient is {self._gradient_norm}")
            return take_step(*args, **kwargs)

        optimizer.step = checked_step  # type: ignore[method-assign]

    def state(self) -> dict[str, Any]:
        """See `StepTrainer.state`."""
        return {
            "state": self._state.capture(),
            "recovery": self._recovery.state_dict(),
            "random": random_state(),
        }

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """See `StepTrainer.restore`. Images come in a new order: detectron2's loader cannot be advanced."""
        self._state.restore(state["state"])
        self._state.require_sound()
        self._recovery.load_state_dict(state["recovery"])
        self.start_iter = step
        set_random_state(state["random"])
        self._loader.begin_after(step)


def _data_parallel(model: nn.Module, device: torch.device) -> nn.Module:
    if distributed.world_size() == 1:
        return model
    # unlike in DefaultTrainer, buffers are broadcast: the BN statistics of rank 0 go to all, which evaluate one model
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
