"""Pictures of any sizes as batches of one padded size, so that no picture feels its neighbours."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Callable, Hashable, Sequence, TypeVar

import torch

from ..errors import says_out_of_memory

logger = logging.getLogger(__name__)

_BATCH_ON_GPU = 16
_BATCH_ON_CPU = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


class ShapeBatches:
    """Cuts pictures into batches, and into smaller ones from then on when a batch does not fit into memory."""

    def __init__(self, batch_size: int, device: torch.device) -> None:
        """
        Args:
            batch_size: pictures per forward pass; 0 lets the device decide.
        """
        self.size = batch_size or (_BATCH_ON_GPU if device.type == "cuda" else _BATCH_ON_CPU)
        self._device = device
        self._has_halved = False

    def run(
        self,
        items: Sequence[Item],
        shape_of: Callable[[Item], Hashable],
        run_batch: Callable[[list[Item]], list[Result]],
    ) -> list[Result]:
        """Run batches of items for which `shape_of` is the same; results come in the order of the items."""
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for index, item in enumerate(items):
            groups[shape_of(item)].append(index)
        found: dict[int, Result] = {}
        for indexes in groups.values():
            while indexes:
                part, rest = indexes[: self.size], indexes[self.size :]
                results = self._try(run_batch, [items[index] for index in part])
                if results is not None:
                    found.update(zip(part, results))
                    indexes = rest
        return [found[index] for index in range(len(items))]

    def _try(self, run_batch: Callable[[list[Item]], list[Result]], batch: list[Item]) -> list[Result] | None:
        """None when memory ran out and the batch has been halved for another try."""
        try:
            return run_batch(batch)
        except (RuntimeError, MemoryError) as error:
            if not says_out_of_memory(error) or len(batch) == 1:
                raise
        # outside of `except`: the traceback held what the failed batch had allocated
        self.size = len(batch) // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._has_halved:
            self._has_halved = True
            logger.warning("memory ran out with %d pictures at a time; going on with %d or fewer, which is slower; set"
                           " batch_size to avoid the attempt", len(batch), self.size)  # fmt: skip
        return None
