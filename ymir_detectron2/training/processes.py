"""The processes of one run, as torch's launcher starts them: who am I, what do the others have."""

from __future__ import annotations

import datetime
import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

# Rank 0 may convert a large set, or evaluate, while the others wait; the default of 30 minutes has killed such runs.
_TIMEOUT = datetime.timedelta(hours=6)


def rank() -> int:
    """0 in the process that writes files."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Which of this machine's devices is mine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> None:
    """Meet the other processes; alone, do nothing."""
    if world_size() > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)  # NCCL sends objects from the current device, which would be GPU 0 for all
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
        all_agree(True, device)  # NCCL starts without waiting for anybody, and rank 0 may still convert the set


def leave() -> None:
    """Part from the others; while an error is on its way, its process ends the connection, when it has said why.

    The others would lose it earlier, and their complaint could stand in monitor.txt in place of the reason.
    """
    if sys.exc_info()[0] is None and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather(item: Any) -> list[Any]:
    """What every process has, by rank, in every process."""
    if world_size() == 1:
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def from_first(item: Any) -> Any:
    """What the process of rank 0 has, in every process; the others may pass None."""
    if world_size() == 1:
        return item
    items = [item]
    dist.broadcast_object_list(items, src=0)
    return items[0]


def all_agree(holds: bool, device: torch.device) -> bool:
    """Whether something holds in every process."""
    if world_size() == 1:
        return holds
    flag = torch.tensor(int(holds), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MIN)
    return bool(flag)


def share_buffers(model: nn.Module) -> None:
    """Give every process the running statistics of rank 0; each has moved them on with its own pictures."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
