"""The training loop: load, forward, backward, step; evaluate, checkpoint.

`train` is the loop of both engines. `Trainer` takes the steps of the torch engine; detectron2_engine/trainer.py takes
those of the other one. What happens around the steps is in run.py.
"""

from __future__ import annotations

import math
import time
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from .. import distributed
from ..config.retinanet_config import RetinaNetConfig
from ..dataset.coco_json import CocoDataset
from ..retinanet.model import RetinaNet
from .augmentations import LabelledImage
from .ema import ModelEma
from .gradient_accumulation import GradientAccumulator
from .lr_schedule import learning_rate_factor, set_learning_rate
from .metric_logger import StepStats
from .nan_recovery import NanRecovery
from .optimizer import build_optimizer, clip_gradients, gradient_norm
from .run import TrainingRun
from .samples import BatchItem, TrainingDataset, readable_batches
from .sampling import InfiniteBatchSampler, require_even_shares
from .training_state import TrainingState, random_state, set_random_state

_BLANK = LabelledImage(
    np.zeros((64, 64, 3), dtype=np.uint8), np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64)
)
_MAX_OVERFLOWS = 30  # fp16 steps in a row; thirty halvings take the first loss scale from 65536 to next to nothing


def train(run: TrainingRun) -> None:
    """Train until the plan of the run ends it.

    Raises:
        StoppedError: a stop was requested.
        NonFiniteLossError: a NaN or infinite loss or gradient came again after three recoveries.
        DatasetError: no image of the training set can be decoded.
    """
    run.resume()  # from the newest checkpoint, if there is one
    while not run.is_over:
        stats = run.trainer.train_step(*run.next_step())  # load, forward, backward, clip, optimizer step, EMA
        run.end_step(stats)  # log; obey a stop request
        if run.should_evaluate:
            run.evaluate_and_save_stage()
            run.save_checkpoint()
        elif run.should_save_checkpoint:
            run.save_checkpoint()


class Trainer:
    """Takes the training steps of the torch engine."""

    def __init__(
        self, model: RetinaNet, cfg: RetinaNetConfig, dataset: CocoDataset, *, device: torch.device,
        autocast_dtype: torch.dtype | None, seed: int, num_workers: int, accumulate: int = 1,
        ema: ModelEma | None = None, augment: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """
        Args:
            autocast_dtype: bfloat16 or float16 for mixed precision; None for plain fp32.
            seed: random seed of the order of the images and of their augmentation.
            num_workers: processes that read images; 0 reads between the steps.
            accumulate: micro-batches into which a batch is split at least.
            ema: updated after each step.
            augment: augmentations besides resizing and flipping, see `augmentations`.
        """
        require_even_shares(cfg["SOLVER.IMS_PER_BATCH"], distributed.world_size())
        self._cfg = cfg
        self._device = device
        self._ema = ema
        self._optimizer = build_optimizer(cfg, model)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._scaler = _build_scaler(device) if autocast_dtype == torch.float16 else None
        self._gradients = GradientAccumulator(model, device, autocast_dtype, self._scaler, max(1, accumulate))
        members = {"optimizer": self._optimizer, "scaler": self._scaler, "average": ema}
        self._state = TrainingState(model, members)
        self._recovery = NanRecovery(self._state, cfg["TEST.EVAL_PERIOD"])
        self._images = TrainingDataset(cfg, dataset, seed=seed, augment=augment)
        self._dataset, self._seed, self._num_workers = dataset, seed, num_workers
        self._num_batches_read = 0
        self._batches = self._read_batches()  # a generator: its workers start at the first step, after `restore`
        self._overflows_in_a_row = 0
        self.skipped: set[str] = set()
        """See `StepTrainer`."""
        self.skipped_steps = 0
        """Steps of fp16 that the loss scaler skipped because their gradient was infinite."""

    def train_step(self, step: int, schedule_step: float | None = None) -> StepStats:
        """Take a step with the next batch whose loss and gradient are finite; see `StepTrainer.train_step`."""
        start_s = time.perf_counter()
        schedule_step = step - 1 if schedule_step is None else schedule_step
        self._recovery.snapshot(step - 1)
        while True:
            # halved by NaN recovery
            lr_factor = learning_rate_factor(self._cfg, schedule_step) * self._recovery.lr_scale
            set_learning_rate(self._optimizer, lr_factor)
            images = next(self._batches)
            losses = self._gradients.compute(images)  # forward and backward
            if self._scaler is not None:
                self._scaler.unscale_(self._optimizer)  # the true gradient, for its norm and for clipping
            norm = float(gradient_norm(self._parameters))
            problem = self._find_problem(losses, norm)
            # before the weights change, and in all processes alike
            if distributed.all_reduce_and(not problem, self._device):
                break
            if self._scaler is not None:
                self._scaler.update()  # else it refuses to unscale again
            self._recovery.recover(step, problem)
            self._overflows_in_a_row = 0
        clip_gradients(self._cfg, self._parameters)
        self._step_optimizer(norm)
        if self._ema is not None:
            self._ema.update()
        learning_rate = self._cfg["SOLVER.BASE_LR"] * lr_factor
        return StepStats(step, losses, norm, learning_rate, time.perf_counter() - start_s)

    def _find_problem(self, losses: Mapping[str, float], norm: float) -> str:
        """Return what is not finite in this process; '' if everything is."""
        if not math.isfinite(sum(losses.values())):
            return f"the loss is {dict(losses)}"
        # an overflow of fp16 is no failure: the scaler skips the step; unless it never finds a scale
        may_overflow = self._scaler is not None and self._overflows_in_a_row < _MAX_OVERFLOWS
        if not math.isfinite(norm) and not may_overflow:
            return f"the norm of the gradient is {norm} (losses {dict(losses)})"
        return ""

    def _step_optimizer(self, norm: float) -> None:
        if self._scaler is None:
            self._optimizer.step()
            return
        self._scaler.step(self._optimizer)  # skipped if the gradient is infinite
        self._scaler.update()
        is_skipped = not math.isfinite(norm)
        self.skipped_steps += is_skipped
        self._overflows_in_a_row = self._overflows_in_a_row + 1 if is_skipped else 0

    def _read_batches(self) -> Iterator[list[LabelledImage]]:
        sampler = InfiniteBatchSampler(
            self._cfg, self._dataset, seed=self._seed, rank=distributed.rank(), world_size=distributed.world_size(),
            first=self._num_batches_read,
        )  # fmt: skip
        loader = DataLoader(
            self._images,
            batch_sampler=sampler,  # type: ignore[arg-type]
            num_workers=self._num_workers,
            collate_fn=list,
            # fork: workers share the annotations with this process instead of receiving a copy
            multiprocessing_context="fork" if self._num_workers else None,
        )

        # counted here, not in the sampler: that is ahead by what the workers have prefetched
        def counted() -> Iterator[list[BatchItem]]:
            for items in loader:
                self._num_batches_read += 1
                yield items

        blank = _BLANK if distributed.world_size() > 1 else None
        yield from readable_batches(counted(), self.skipped, blank)

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, as plain data and tensors."""
        return {
            "state": self._state.capture(),
            "recovery": self._recovery.state_dict(),
            "batches_used": self._num_batches_read,
            "parts": self._gradients.micro_batches,
            "skipped_steps": self.skipped_steps,
            "random": random_state(),
        }

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Continue after `step` steps as if there had been no interruption; called before the first step."""
        self._state.restore(state["state"])
        self._state.require_sound()
        self._recovery.load_state_dict(state["recovery"])
        set_random_state(state["random"])
        # after all that may find damage: the larger number of micro-batches would stay
        self._num_batches_read = state["batches_used"]
        self._gradients.micro_batches = max(self._gradients.micro_batches, state["parts"])
        self.skipped_steps = state["skipped_steps"]


def _build_scaler(device: torch.device) -> Any:
    """Return the loss scaler of fp16, under its name in new or old torch."""
    amp: Any = getattr(torch, "amp", None)  # torch 1.10 has none
    return amp.GradScaler(device.type) if hasattr(amp, "GradScaler") else torch.cuda.amp.GradScaler()
