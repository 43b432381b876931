"""The training steps themselves."""

from __future__ import annotations

import logging
import time
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..contract.findings import Findings
from ..dataset.coco_json import CocoDataset
from ..retinanet.config import Config
from ..retinanet.model import RetinaNet
from . import processes
from .ema import WeightAverage
from .gradients import BatchGradients
from .optimizer import build_optimizer, clip_gradients, gradient_norm, set_learning_rate
from .pictures import BatchItem, TrainingPicture, TrainingPictures, readable_batches
from .recovery import Recovery, is_finite
from .sampling import BatchStream, require_even_shares
from .schedule import learning_rate_factor
from .state import TrainingState, random_state, set_random_state

logger = logging.getLogger(__name__)

_BLANK = TrainingPicture(
    np.zeros((3, 64, 64), dtype=np.uint8), np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64)
)
_MOST_SKIPPED = 30  # fp16 steps in a row; thirty halvings take the first loss scale from 65536 to next to nothing


class StepStats(NamedTuple):
    """One finished step."""

    step: int
    """Counted from 1."""
    losses: dict[str, float]
    gradient_norm: float
    learning_rate: float
    seconds: float


class Trainer:
    """Takes a model through its schedule, one step at a time."""

    def __init__(
        self, model: RetinaNet, cfg: Config, dataset: CocoDataset, *, device: torch.device,
        autocast_dtype: torch.dtype | None, seed: int, num_workers: int, accumulate: int = 1,
        average: WeightAverage | None = None, augment: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """
        Args:
            autocast_dtype: bfloat16 or float16 for mixed precision; None for plain fp32.
            num_workers: processes that read pictures; 0 reads between the steps.
            accumulate: parts into which a batch is cut at least.
            average: told of every step, and kept with the rest of the state.
            augment: what is done to pictures beside resizing and flipping, see `augmentations`.
        """
        require_even_shares(cfg["SOLVER.IMS_PER_BATCH"], processes.world_size())
        self._cfg = cfg
        self._device = device
        self._average = average
        self._skipped = Findings()
        self._optimizer = build_optimizer(cfg, model)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._scaler = _new_scaler(device) if autocast_dtype == torch.float16 else None
        self._gradients = BatchGradients(model, device, autocast_dtype, self._scaler, max(1, accumulate))
        parts = {"optimizer": self._optimizer, "scaler": self._scaler, "average": average}
        self._state = TrainingState(model, parts)
        self._recovery = Recovery(self._state, cfg["TEST.EVAL_PERIOD"])
        self._pictures = TrainingPictures(cfg, dataset, seed=seed, augment=augment)
        self._dataset, self._seed, self._num_workers = dataset, seed, num_workers
        self._first_step = 0
        self._batches_used = 0
        self._skipped_steps = self._skipped_in_a_row = 0

    @property
    def skipped(self) -> Findings:
        """Pictures whose pixels could not be read."""
        return self._skipped

    @property
    def skipped_steps(self) -> int:
        """Steps of fp16 that the loss scaler left out because their gradient was infinite."""
        return self._skipped_steps

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as plain data and tensors."""
        return {
            "state": self._state.capture(),
            "recovery": self._recovery.state_dict(),
            "batches_used": self._batches_used,
            "parts": self._gradients.parts,
            "skipped_steps": self._skipped_steps,
            "random": random_state(),
        }

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Go on after `step` steps as if `state` had never been written away."""
        self._state.restore(state["state"])
        self._recovery.load_state_dict(state["recovery"])
        self._batches_used = state["batches_used"]
        self._gradients.parts = max(self._gradients.parts, state["parts"])
        self._skipped_steps = state["skipped_steps"]
        self._first_step = step
        set_random_state(state["random"])

    def steps(self) -> Iterator[StepStats]:
        """Run the schedule to its end.

        Raises:
            NonFiniteLossError: a loss or gradient that is no number came again and again.
            DatasetError: not one picture of the set can be decoded.
        """
        blank = _BLANK if processes.world_size() > 1 else None
        batches = readable_batches(self._counted(self._new_loader()), self._skipped, blank)
        self._recovery.note_good(self._first_step)
        for step in range(self._first_step + 1, self._cfg["SOLVER.MAX_ITER"] + 1):
            start_s = time.perf_counter()
            losses, norm, rate = self._finite_step(step, batches)
            if self._average is not None:
                self._average.update()
            self._recovery.note_good(step)
            yield StepStats(step, losses, norm, rate, time.perf_counter() - start_s)

    def _finite_step(
        self, step: int, batches: Iterator[list[TrainingPicture]]
    ) -> tuple[dict[str, float], float, float]:
        """Losses, norm of the gradient and learning rate of the first batch that gives numbers."""
        while True:
            factor = learning_rate_factor(self._cfg, step - 1) * self._recovery.rate_scale
            set_learning_rate(self._optimizer, factor)
            losses = self._gradients.compute(next(batches))
            if self._scaler is not None:
                self._scaler.unscale_(self._optimizer)
            norm = float(gradient_norm(self._parameters))
            finding = self._finding(losses, norm)
            # the pass is judged before the weights move, and in all processes alike
            if processes.all_agree(not finding, self._device):
                self._move(norm)
                return losses, norm, self._cfg["SOLVER.BASE_LR"] * factor
            if self._scaler is not None:
                self._scaler.update()  # it counts as used until then
            self._recovery.recover(step, finding)
            self._skipped_in_a_row = 0

    def _finding(self, losses: dict[str, float], norm: float) -> str:
        """What is wrong with this step; '' for nothing."""
        if not is_finite(sum(losses.values())):
            return f"the loss is {losses}"
        if not is_finite(norm) and (self._scaler is None or self._skipped_in_a_row >= _MOST_SKIPPED):
            return f"the norm of the gradient is {norm} (losses {losses})"
        return ""

    def _move(self, norm: float) -> None:
        clip_gradients(self._cfg, self._parameters)
        if self._scaler is None:
            self._optimizer.step()
            return
        # fp16 overflows now and then: the scaler leaves out such a step and lowers its scale
        self._scaler.step(self._optimizer)
        self._scaler.update()
        skipped = not is_finite(norm)
        self._skipped_steps += skipped
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if skipped else 0

    def _new_loader(self) -> Iterable[list[BatchItem]]:
        stream = BatchStream(
            self._cfg, self._dataset, seed=self._seed, rank=processes.rank(), world_size=processes.world_size(),
            first=self._batches_used,
        )  # fmt: skip
        return DataLoader(
            self._pictures,
            batch_sampler=stream,  # type: ignore[arg-type]
            num_workers=self._num_workers,
            collate_fn=list,
            multiprocessing_context="fork" if self._num_workers else None,
        )

    def _counted(self, batches: Iterable[list[BatchItem]]) -> Iterator[list[BatchItem]]:
        for items in batches:
            self._batches_used += 1
            yield items


def _new_scaler(device: torch.device) -> Any:
    """The loss scaler of fp16, by its name in old and in new torch."""
    amp: Any = getattr(torch, "amp", None)  # torch 1.10 has none
    return amp.GradScaler(device.type) if hasattr(amp, "GradScaler") else torch.cuda.amp.GradScaler()
