"""GPU numbers to torch devices, and the arithmetic that a device is good at."""

from __future__ import annotations

import os

import torch

from ..errors import ConfigError, GpuKernelError, NoGpuError
from ..training import processes


def choose_device(gpu_ids: tuple[int, ...] | None, local_rank: int) -> torch.device:
    """The device of one process.

    Args:
        gpu_ids: () is the CPU; None: the GPUs from 0 on if there is one, else the CPU.
        local_rank: which of them is meant.

    Raises:
        NoGpuError: a GPU was asked for and is not there.
        GpuKernelError: it is there, but this torch build cannot run on it.
    """
    if gpu_ids is None:
        gpu_ids = (local_rank,) if torch.cuda.is_available() else ()
    if not gpu_ids:
        return torch.device("cpu")
    gpu = gpu_ids[local_rank % len(gpu_ids)]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu >= count:
        raise NoGpuError(
            f"gpu_id: GPU {gpu} was asked for, but {count} can be seen; choose fewer GPUs, check the GPU driver and"
            " that the container was started with --gpus, or set gpu_id to '' to use the CPU"
        )
    _require_kernels(gpu)
    return torch.device("cuda", gpu)


def _require_kernels(gpu: int) -> None:
    major, minor = torch.cuda.get_device_capability(gpu)
    built_for = torch.cuda.get_arch_list()
    capable = [int(arch.split("_")[1].rstrip("af")) for arch in built_for if arch.startswith("sm_")]
    # code for sm_80 runs on sm_86 too, but not on sm_90; compute_XX is compiled anew for whatever comes later
    fits = any(arch // 10 == major and arch % 10 <= minor for arch in capable)
    later = any(arch.startswith("compute_") and int(arch.split("_")[1]) <= major * 10 + minor for arch in built_for)
    if not fits and not later:
        raise GpuKernelError(
            f"gpu_id: GPU {gpu} ({torch.cuda.get_device_name(gpu)}, sm_{major}{minor}) is not one that torch"
            f" {torch.__version__} was built for ({' '.join(built_for)}); use the image flavour 'current' for Hopper"
            " and later, 'cu111' for Pascal to Ampere"
        )


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The type for mixed precision, None for plain fp32.

    Raises:
        ConfigError: the device cannot compute in it.
    """
    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    if precision == "fp16":
        if device.type == "cpu":
            raise ConfigError("precision: fp16 needs a GPU; use bf16, fp32 or auto on the CPU")
        return torch.float16
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None


def describe_device(device: torch.device) -> str:
    """For the log: what runs the network."""
    if device.type == "cuda":
        return f"GPU {device.index} ({torch.cuda.get_device_name(device)})"
    return f"CPU ({torch.get_num_threads()} threads)"


def loader_workers(wanted: int, device: torch.device) -> int:
    """Processes that read training pictures; on the CPU they would take from the network what they give."""
    if wanted:
        return wanted
    return min(8, max(1, len(os.sched_getaffinity(0)) // processes.world_size())) if device.type == "cuda" else 1
