"""detectron2's DefaultTrainer on our sets, on our processes, watched by our `TrainingRun`."""

from __future__ import annotations

import functools
import logging
import math
import time
import weakref
from typing import Any, Mapping

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, hooks
from detectron2.engine.train_loop import AMPTrainer, SimpleTrainer, TrainerBase
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ...contract.findings import Findings
from ...errors import ConfigError
from ...training import processes
from ...training.ema import WeightAverage
from ...training.loop import StepStats
from ...training.optimizer import gradient_norm
from ...training.recovery import Recovery, is_finite
from ...training.run import TrainingRun
from ...training.state import TrainingState, random_state, set_random_state
from .data import ReadableLoader

logger = logging.getLogger(__name__)

# it logs the traceback of whatever ends a training, also of a stop on request; ours is told at the end of the task
logging.getLogger("detectron2.engine.train_loop").addFilter(lambda record: not record.exc_info)


class _OverError(Exception):
    """The run ends before the last step of its schedule, and well."""


class Trainer(DefaultTrainer):
    """DefaultTrainer with its solver, schedule, loader and PreciseBN; stages take the place of its other hooks."""

    def __init__(
        self, cfg: CfgNode, model: nn.Module, device: torch.device, run: TrainingRun, average: WeightAverage | None
    ) -> None:
        """
        Args:
            model: with its initial weights, on `device`. DefaultTrainer itself would build one, and would take the
                number of a process for that of its GPU, which fails on the CPU and for gpu_id 2,3.
        """
        TrainerBase.__init__(self)
        self.cfg = cfg
        self._device = device
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        optimizer = self.build_optimizer(cfg, model)
        self._loader = self.build_train_loader(cfg)
        kind = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = kind(_data_parallel(model, device), self._loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self._gradient_norm = math.nan
        self._watch_gradient(optimizer, scaled=cfg.SOLVER.AMP.ENABLED)
        scaler = getattr(self._trainer, "grad_scaler", None)
        self._state = TrainingState(model, {"optimizer": optimizer, "scaler": scaler, "average": average})
        self._recovery = Recovery(self._state, cfg.TEST.EVAL_PERIOD)
        self._base_rates = list(self.scheduler.base_lrs)
        self._run = run
        self.register_hooks([*self.build_hooks(), _Report(run, average)])

    @property
    def skipped(self) -> Findings:
        """Pictures whose pixels could not be read."""
        return self._loader.skipped

    @property
    def gradient_norm(self) -> float:
        """Of the latest step, before clipping."""
        return self._gradient_norm

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> ReadableLoader:
        return ReadableLoader(cfg, may_skip_a_batch=processes.world_size() == 1)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
        # in a run of few steps several decays fall on one step or on its end, which detectron2 does not accept
        fitting = cfg.clone()
        fitting.defrost()
        fitting.SOLVER.STEPS = tuple(sorted({step for step in cfg.SOLVER.STEPS if 0 < step < cfg.SOLVER.MAX_ITER}))
        try:
            return super().build_lr_scheduler(fitting, optimizer)
        except (AssertionError, ValueError) as error:
            raise ConfigError(f"SOLVER: detectron2 cannot make this schedule ({error}); correct its keys") from error

    def build_hooks(self) -> list[HookBase]:
        """Keep what changes the weights; checkpoints, evaluations and curves are ours."""
        return [hook for hook in super().build_hooks() if isinstance(hook, (hooks.LRScheduler, hooks.PreciseBN))]

    def build_writers(self) -> list[Any]:
        return []

    def state(self) -> dict[str, Any]:
        """See `training.run.ResumableTrainer`."""
        return {
            "state": self._state.capture(),
            "recovery": self._recovery.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": random_state(),
        }

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """See `training.run.ResumableTrainer`. The pictures come in a new order: the loader cannot be wound on."""
        self._loader.begin_after(step)
        self._state.restore(state["state"])
        self._recovery.load_state_dict(state["recovery"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.start_iter = step
        set_random_state(state["random"])

    def train(self) -> None:
        """Run the whole schedule, or as much of it as is left and wanted.

        Raises:
            NonFiniteLossError: a loss or gradient that is no number came again and again.
        """
        if self._run.is_over:
            return
        self._recovery.note_good(self.start_iter)
        try:
            super().train()
        except _OverError:
            logger.info("training ended at step %d", self.iter + 1)

    def run_step(self) -> None:
        """Take a step, with the next pictures instead where one ends in no number."""
        while True:
            finding = ""
            try:
                super().run_step()
            except FloatingPointError as error:
                finding = " ".join(str(error).split())
            # detectron2 looks at the losses in the first process alone: the others may have moved their weights by now
            if processes.all_agree(not finding, self._device):
                return
            self._recovery.recover(self.iter + 1, finding)
            self._lower_rate()

    def note_good(self, step: int) -> None:
        """The state after this step may be returned to."""
        self._recovery.note_good(step)

    def _lower_rate(self) -> None:
        """Halve what the scheduler multiplies, and what it has given out for this step."""
        self.scheduler.base_lrs = [rate * self._recovery.rate_scale for rate in self._base_rates]
        for group, rate in zip(self._trainer.optimizer.param_groups, self.scheduler.get_lr()):
            group["lr"] = rate

    def _watch_gradient(self, optimizer: torch.optim.Optimizer, *, scaled: bool) -> None:
        """Look at the gradient before it moves the weights; `scaled`: the scaler of fp16 judges infinities itself."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        take_step = optimizer.step

        @functools.wraps(take_step)
        def checked_step(*args: Any, **kwargs: Any) -> Any:
            self._gradient_norm = float(gradient_norm(parameters))
            if not scaled and not is_finite(self._gradient_norm):
                raise FloatingPointError(f"the norm of the gradient is {self._gradient_norm}")
            return take_step(*args, **kwargs)

        optimizer.step = checked_step  # type: ignore[method-assign]


class _Report(HookBase):
    """Tells the run of every step; comes after the hooks that still change the weights."""

    def __init__(self, run: TrainingRun, average: WeightAverage | None) -> None:
        self._run = run
        self._average = average

    def before_step(self) -> None:
        self._start_s = time.perf_counter()

    def after_step(self) -> None:
        seconds = time.perf_counter() - self._start_s
        latest = {name: value for name, (value, _) in self.trainer.storage.latest().items()}
        losses = {name: value for name, value in latest.items() if name.startswith("loss")}
        self.trainer.storage.clear_images()  # VIS_PERIOD draws some, which nobody else takes out
        step = self.trainer.iter + 1
        if self._average is not None:
            self._average.update()
        self.trainer.note_good(step)
        self._run.after_step(StepStats(step, losses, self.trainer.gradient_norm, latest["lr"], seconds))
        if self._run.is_over and step < self.trainer.max_iter:
            raise _OverError


def _data_parallel(model: nn.Module, device: torch.device) -> nn.Module:
    if processes.world_size() == 1:
        return model
    # unlike in DefaultTrainer, the running statistics of the first process go to all: each evaluates the same model
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
