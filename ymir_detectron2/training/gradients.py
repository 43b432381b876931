"""The gradient of one batch, computed in as many parts as memory demands.

Each part is a forward and a backward pass. The losses are divided by what the whole batch gives, and all pictures are
padded to one size, so that the sum over the parts is the gradient of the batch. Batch normalisation alone sees the
difference: its statistics are those of a part.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from typing import Any, ContextManager, NamedTuple, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import OutOfMemoryError
from ..retinanet.model import RetinaNet
from ..retinanet.precision import autocast
from . import processes
from .memory import is_out_of_memory
from .pictures import TrainingPicture

logger = logging.getLogger(__name__)


class LossModule(nn.Module):
    """From a batch to the sums of its losses in one `forward`, which is what torch's data parallelism wraps."""

    def __init__(self, model: RetinaNet) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, batch: Tensor, boxes: Sequence[Tensor], classes: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        dense = self.model(batch.to(memory_format=torch.channels_last))
        return self.model.loss_sums(dense, boxes, classes)


class Batch(NamedTuple):
    """Pictures on the device of the model, padded to one size."""

    images: Tensor
    boxes: Sequence[Tensor]
    classes: Sequence[Tensor]

    def parts(self, count: int) -> list[Batch]:
        """Cut into at most `count` batches of nearly equal size."""
        size = -(-len(self.boxes) // count)
        rows = [slice(start, start + size) for start in range(0, len(self.boxes), size)]
        return [Batch(self.images[part], self.boxes[part], self.classes[part]) for part in rows]


class BatchGradients:
    """Leaves the gradient of a batch in the parameters of a model."""

    def __init__(
        self, model: RetinaNet, device: torch.device, autocast_dtype: torch.dtype | None, scaler: Any, parts: int
    ) -> None:
        """
        Args:
            scaler: the loss scaler of fp16, else None.
            parts: into how many a batch is cut at least.
        """
        self._model = model
        self._device = device
        self._autocast_dtype = autocast_dtype
        self._scaler = scaler
        self.parts = parts
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._losses: nn.Module = LossModule(model)
        if processes.world_size() > 1:
            ids = [device.index] if device.type == "cuda" else None
            self._losses = DistributedDataParallel(self._losses, device_ids=ids)

    def compute(self, pictures: Sequence[TrainingPicture]) -> dict[str, float]:
        """Return the losses of the batch; where memory runs out, cut it finer and begin again.

        Raises:
            OutOfMemoryError: a single picture needs too much; or this is one of several processes, which cannot begin
                again alone: the others wait for its gradient.
        """
        normalizer = self._model.loss_normalizer
        while True:
            try:
                return self._compute(pictures)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                finding = " ".join(str(error).split("\n")[0].split())[:200]
            # outside of the block: until here the error holds on to what the failed pass had allocated
            self._cut_finer(len(pictures), finding)
            self._model.loss_normalizer = normalizer

    def _cut_finer(self, pictures: int, finding: str) -> None:
        if self.parts >= pictures:
            raise OutOfMemoryError(
                f"memory ran out with one picture at a time ({finding}); lower INPUT.MIN_SIZE_TRAIN and"
                " INPUT.MAX_SIZE_TRAIN in args_options"
            )
        wanted = min(2 * self.parts, pictures)
        if processes.world_size() > 1:
            raise OutOfMemoryError(f"memory ran out at {pictures} pictures per process; set accumulate: {wanted}")
        logger.warning(
            "memory ran out (%s): from now on a batch of %d pictures is computed in %d parts; its gradient stays that"
            " of the whole batch", finding, pictures, wanted,
        )  # fmt: skip
        self.parts = wanted
        for parameter in self._parameters:
            parameter.grad = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _compute(self, pictures: Sequence[TrainingPicture]) -> dict[str, float]:
        self._model.zero_grad()
        images = [torch.from_numpy(picture.image_chw).to(self._device, non_blocking=True) for picture in pictures]
        batch = Batch(
            self._model.preprocess(images)[0],
            [torch.from_numpy(picture.boxes_xyxy).to(self._device) for picture in pictures],
            [torch.from_numpy(picture.classes).to(self._device) for picture in pictures],
        )
        parts = batch.parts(self.parts)
        return self._at_once(batch) if len(parts) == 1 else self._in_parts(parts)

    def _at_once(self, batch: Batch) -> dict[str, float]:
        sums, num_objects = self._forward(batch)
        divisor = self._model.update_normalizer(num_objects)
        losses = {name: value / divisor for name, value in sums.items()}
        self._backward(losses)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _in_parts(self, parts: Sequence[Batch]) -> dict[str, float]:
        """Divide by the mean as it was, and put that right when the objects of all parts are counted."""
        provisional = self._model.loss_normalizer / processes.world_size()
        totals: dict[str, float] = {}
        num_objects = torch.zeros((), dtype=torch.int64, device=self._device)
        for number, part in enumerate(parts, start=1):
            with self._exchanging(number == len(parts)):
                sums, found = self._forward(part)
                self._backward({name: value / provisional for name, value in sums.items()})
            num_objects += found
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach())
        divisor = self._model.update_normalizer(num_objects)
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad *= provisional / divisor
        return {name: total / divisor for name, total in totals.items()}

    def _forward(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        with autocast(self._device, self._autocast_dtype):
            sums, num_objects = self._losses(*batch)
        return sums, num_objects

    def _backward(self, losses: dict[str, Tensor]) -> None:
        total = torch.stack(list(losses.values())).sum()
        (total if self._scaler is None else self._scaler.scale(total)).backward()

    def _exchanging(self, last: bool) -> ContextManager[None]:
        """Several processes exchange their gradients once per step, with the last part."""
        if last or not isinstance(self._losses, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._losses.no_sync()
