"""The processes of one run, as torch's launcher starts them: who am I, what do the others have."""

from __future__ import annotations

import datetime
import os
from typing import Any

import torch
import torch.distributed as dist

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
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)


def leave() -> None:
    if dist.is_available() and dist.is_initialized():
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
