"""The processes of one run, as torch's launcher starts them: ranks, process group, collectives.

With a single process no group is initialised; the collectives then return what this process has.
"""

from __future__ import annotations

import datetime
import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from .errors import ConfigError, briefly

# Rank 0 may convert a large data set or evaluate while the others wait: torch's default of 30 minutes is too short.
_TIMEOUT = datetime.timedelta(hours=6)


def rank() -> int:
    """Return the number of this process, on all machines: 0 is the one that writes files."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return the number of this process on its machine, and thereby of its GPU among those of the task."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """Return the number of processes on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_connected() -> bool:
    """Return whether the collectives reach other processes."""
    return world_size() > 1 and dist.is_available() and dist.is_initialized()


def init_process_group(device: torch.device) -> None:
    """Connect to the other processes, by NCCL on GPUs, else by gloo, and wait until all of them are there."""
    if world_size() > 1 and not dist.is_initialized():
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
        except (ValueError, OverflowError) as error:  # of the address in the environment; connections raise others
            raise ConfigError(
                f"environment variables MASTER_ADDR and MASTER_PORT: {briefly(str(error))}; let start.py or torch's"
                " launcher set them"
            ) from error
        all_reduce_and(True, device)  # NCCL's initialisation does not wait for rank 0, which may be converting data


def destroy_process_group() -> None:
    """Disconnect from the other processes, unless an exception is being handled.

    Then the connection lasts until this process has reported its error and exits. If the others lost it earlier, the
    error in monitor.txt could be theirs, the lost connection, instead of its cause.
    """
    if sys.exc_info()[0] is None and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def all_gather_object(item: Any) -> list[Any]:
    """Return the objects of all processes, by rank, in every process."""
    if world_size() == 1:
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def broadcast_object(item: Any) -> Any:
    """Return the object of rank 0 in every process; the others may pass None."""
    if world_size() == 1:
        return item
    items = [item]
    dist.broadcast_object_list(items, src=0)
    return items[0]


def all_reduce_and(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set in all processes, in every process."""
    return bool(all_reduce_min(int(flag), device))  # NCCL has no bitwise "and"


def all_reduce_min(number: int, device: torch.device) -> int:
    """Return the smallest number of all processes, in every process."""
    if world_size() == 1:
        return number
    minimum = torch.tensor(number, device=device)
    dist.all_reduce(minimum, op=dist.ReduceOp.MIN)
    return int(minimum)


def broadcast_buffers(model: nn.Module) -> None:
    """Overwrite the running statistics of the normalisations with those of rank 0; each process has updated its own."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
