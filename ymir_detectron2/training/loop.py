"""The training steps themselves."""

from __future__ import annotations

import time
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ..contract.findings import Findings
from ..dataset.coco_json import CocoDataset
from ..errors import NonFiniteLossError
from ..retinanet.config import Config
from ..retinanet.model import RetinaNet
from ..retinanet.precision import autocast
from . import processes
from .optimizer import build_optimizer, clip_gradients, gradient_norm, set_learning_rate
from .pictures import TrainingPicture, TrainingPictures, readable_batches
from .sampling import BatchStream
from .schedule import learning_rate_factor

_BLANK = TrainingPicture(
    np.zeros((3, 64, 64), dtype=np.uint8), np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64)
)


class StepStats(NamedTuple):
    """One finished step."""

    step: int
    """Counted from 1."""
    losses: dict[str, float]
    gradient_norm: float
    learning_rate: float
    seconds: float


class LossModule(nn.Module):
    """From pictures to losses in one `forward`, which is what torch's data parallelism wraps."""

    def __init__(self, model: RetinaNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: list[Tensor], boxes: list[Tensor], classes: list[Tensor]) -> dict[str, Tensor]:
        batch, _ = self.model.preprocess(images)
        return self.model.losses(self.model(batch.to(memory_format=torch.channels_last)), boxes, classes)


class Trainer:
    """Takes a model through its schedule, one step at a time."""

    def __init__(
        self, model: RetinaNet, cfg: Config, dataset: CocoDataset, *, device: torch.device,
        autocast_dtype: torch.dtype | None, seed: int, num_workers: int,
    ) -> None:  # fmt: skip
        """
        Args:
            autocast_dtype: bfloat16 or float16 for mixed precision; None for plain fp32.
            num_workers: processes that read pictures; 0 reads between the steps.
        """
        self._cfg = cfg
        self._device = device
        self._autocast_dtype = autocast_dtype
        self._skipped = Findings()
        self._optimizer = build_optimizer(cfg, model)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._scaler = _new_scaler() if autocast_dtype == torch.float16 else None
        self._losses: nn.Module = LossModule(model)
        if processes.world_size() > 1:
            ids = [device.index] if device.type == "cuda" else None
            self._losses = DistributedDataParallel(self._losses, device_ids=ids)
        self._loader = DataLoader(
            TrainingPictures(cfg, dataset, seed=seed),
            batch_sampler=BatchStream(  # type: ignore[arg-type]
                cfg, dataset, seed=seed, rank=processes.rank(), world_size=processes.world_size()
            ),
            num_workers=num_workers,
            collate_fn=list,
            multiprocessing_context="fork" if num_workers else None,
        )

    @property
    def skipped(self) -> Findings:
        """Pictures whose pixels could not be read."""
        return self._skipped

    def steps(self) -> Iterator[StepStats]:
        """Run the whole schedule.

        Raises:
            NonFiniteLossError: before the weights are touched by it.
            DatasetError: not one picture of the set can be decoded.
        """
        batches = readable_batches(self._loader, self._skipped, _BLANK if processes.world_size() > 1 else None)
        for step in range(self._cfg["SOLVER.MAX_ITER"]):
            start_s = time.perf_counter()
            factor = learning_rate_factor(self._cfg, step)
            set_learning_rate(self._optimizer, factor)
            losses, norm = self._step(step + 1, next(batches))
            seconds = time.perf_counter() - start_s
            yield StepStats(step + 1, losses, norm, self._cfg["SOLVER.BASE_LR"] * factor, seconds)

    def _step(self, step: int, pictures: Sequence[TrainingPicture]) -> tuple[dict[str, float], float]:
        """Forward, backward, check, and only then move the weights."""
        images = [torch.from_numpy(picture.image_chw).to(self._device, non_blocking=True) for picture in pictures]
        boxes = [torch.from_numpy(picture.boxes_xyxy).to(self._device) for picture in pictures]
        classes = [torch.from_numpy(picture.classes).to(self._device) for picture in pictures]
        self._optimizer.zero_grad()
        with autocast(self._device, self._autocast_dtype):
            losses: dict[str, Tensor] = self._losses(images, boxes, classes)
        total = torch.stack(list(losses.values())).sum()
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        require_finite(step, float(total.detach()), f"the loss is {values}")
        if self._scaler is None:
            total.backward()
        else:
            self._scaler.scale(total).backward()
            self._scaler.unscale_(self._optimizer)
        norm = float(gradient_norm(self._parameters))
        if self._scaler is None:
            require_finite(step, norm, f"the norm of the gradient is {norm} (losses {values})")
        clip_gradients(self._cfg, self._parameters)
        if self._scaler is None:
            self._optimizer.step()
        else:  # fp16 overflows now and then: the scaler leaves out such a step and lowers its scale
            self._scaler.step(self._optimizer)
            self._scaler.update()
        return values, norm


def _new_scaler() -> Any:
    """The loss scaler of fp16, by its name in old and in new torch."""
    return torch.amp.GradScaler("cuda") if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler()


def require_finite(step: int, value: float, finding: str) -> None:
    """Raise NonFiniteLossError for NaN and infinity; call it before the weights are moved."""
    if not -float("inf") < value < float("inf"):
        raise NonFiniteLossError(
            f"step {step}: {finding}; the weights before this step are kept;"
            " lower learning_rate or raise SOLVER.WARMUP_ITERS and start again"
        )
