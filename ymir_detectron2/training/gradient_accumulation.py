"""Gradient accumulation: the gradient of a batch, computed in as many micro-batches as memory demands.

Each micro-batch is one forward and one backward pass. All images are padded to the size of the whole batch, and losses
are divided by the normaliser of the whole batch, so that the accumulated gradient is that of the batch. Only batch
normalisation differs: its statistics are those of a micro-batch.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from typing import Any, NamedTuple, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .. import distributed
from ..errors import OutOfMemoryError, is_out_of_memory
from ..retinanet.layers import autocast
from ..retinanet.model import RetinaNet
from .augmentations import LabelledImage

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Images and ground truth on the device of the model."""

    images: Tensor
    """(N, 3, H', W') normalised float32, padded to one size."""
    boxes: Sequence[Tensor]
    """N tensors (G, 4)."""
    classes: Sequence[Tensor]
    """N tensors (G,)."""

    def split(self, count: int) -> list[Batch]:
        """Split into at most `count` micro-batches of nearly equal size."""
        size = -(-len(self.boxes) // count)
        slices = [slice(start, start + size) for start in range(0, len(self.boxes), size)]
        return [Batch(self.images[rows], self.boxes[rows], self.classes[rows]) for rows in slices]


class GradientAccumulator:
    """Computes the gradient of a batch into the `grad` of the parameters of a model."""

    def __init__(
        self, model: RetinaNet, device: torch.device, autocast_dtype: torch.dtype | None, scaler: Any,
        micro_batches: int,
    ) -> None:  # fmt: skip
        """
        Args:
            scaler: the loss scaler of fp16, else None.
            micro_batches: into how many a batch is split at least.
        """
        self._model = model
        self._device = device
        self._autocast_dtype = autocast_dtype
        self._scaler = scaler
        self.micro_batches = micro_batches
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._network: nn.Module = model
        if distributed.world_size() > 1:
            ids = [device.index] if device.type == "cuda" else None
            self._network = DistributedDataParallel(model, device_ids=ids)

    def compute(self, images: Sequence[LabelledImage]) -> dict[str, float]:
        """Run forward and backward; return the losses of the batch. If memory runs out, retry in smaller micro-batches.

        Raises:
            OutOfMemoryError: a single image needs too much; or this is one of several processes, which cannot retry by
                itself: the others are waiting for its gradient.
        """
        normalizer = self._model.loss_normalizer
        while True:
            try:
                return self._forward_backward(self._to_device(images))
            except Exception as error:  # of any type: see is_out_of_memory
                if not is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split("\n")[0].split())[:200]
            # outside of the except block: until its end, the traceback keeps the tensors of the failed pass alive
            self._shrink_micro_batches(len(images), reason)
            self._model.loss_normalizer = normalizer

    def _shrink_micro_batches(self, batch_size: int, reason: str) -> None:
        if self.micro_batches >= batch_size:
            raise OutOfMemoryError(f"memory ran out with one image at a time ({reason}); lower image_size")
        count = min(2 * self.micro_batches, batch_size)
        if distributed.world_size() > 1:
            raise OutOfMemoryError(f"memory ran out at {batch_size} images per process; set accumulate: {count}")
        logger.warning(
            "gradient accumulation: memory ran out (%s); from now on a batch of %d images is computed in %d"
            " micro-batches, and its gradient stays that of the whole batch", reason, batch_size, count,
        )  # fmt: skip
        self.micro_batches = count
        for parameter in self._parameters:
            parameter.grad = None  # frees what the failed pass has accumulated
        gc.collect()  # exceptions leave reference cycles, which hold tensors until they are collected
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _to_device(self, images: Sequence[LabelledImage]) -> Batch:
        # uint8 crosses to the device and is permuted there: (H, W, 3) -> (3, H, W)
        tensors = [torch.from_numpy(one.image_hwc).to(self._device, non_blocking=True) for one in images]
        padded, _ = self._model.preprocess([tensor.permute(2, 0, 1) for tensor in tensors])
        return Batch(
            padded.to(memory_format=torch.channels_last),  # as the weights; else each convolution would convert
            [torch.from_numpy(one.boxes_xyxy).to(self._device) for one in images],
            [torch.from_numpy(one.classes).to(self._device) for one in images],
        )

    def _forward_backward(self, batch: Batch) -> dict[str, float]:
        self._model.zero_grad()
        micro_batches = batch.split(self.micro_batches)
        if len(micro_batches) == 1:
            with autocast(self._device, self._autocast_dtype):
                sums, num_positives = self._network(*batch)
            divisor = self._model.update_normalizer(num_positives)
            losses = {name: value / divisor for name, value in sums.items()}
            self._backward(losses)
            return {name: float(loss.detach()) for name, loss in losses.items()}

        # The positive anchors of the whole batch are counted when its last forward pass is done. Until then losses are
        # divided by the running mean as it was; the accumulated gradient is corrected by the ratio of the two.
        provisional = self._model.loss_normalizer / distributed.world_size()
        totals: dict[str, float] = {}
        total_positives = torch.zeros((), dtype=torch.int64, device=self._device)
        for number, micro_batch in enumerate(micro_batches, start=1):
            with contextlib.ExitStack() as stack:
                if number < len(micro_batches) and isinstance(self._network, DistributedDataParallel):
                    stack.enter_context(self._network.no_sync())  # processes exchange their gradients once per step
                with autocast(self._device, self._autocast_dtype):
                    sums, num_positives = self._network(*micro_batch)
                self._backward({name: value / provisional for name, value in sums.items()})
            total_positives += num_positives
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach())
        divisor = self._model.update_normalizer(total_positives)
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad *= provisional / divisor
        return {name: total / divisor for name, total in totals.items()}

    def _backward(self, losses: dict[str, Tensor]) -> None:
        total = torch.stack(list(losses.values())).sum()
        (total if self._scaler is None else self._scaler.scale(total)).backward()
