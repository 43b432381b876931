"""Choice of the device of a process, and of the arithmetic (fp32, bf16, fp16) in which it computes."""

from __future__ import annotations

import logging
import os
from typing import Any, Mapping

import torch

from .. import distributed
from ..errors import ConfigError, GpuKernelError, NoGpuError

logger = logging.getLogger(__name__)


def choose_device(gpu_ids: tuple[int, ...] | None, local_rank: int) -> torch.device:
    """Return the device of one process.

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
    """Else the first kernel fails, minutes later, with a sentence that names neither GPU nor build."""
    major, minor = torch.cuda.get_device_capability(gpu)
    built_for = torch.cuda.get_arch_list()
    capable = [int(arch.split("_")[1].rstrip("af")) for arch in built_for if arch.startswith("sm_")]
    # code for sm_80 runs on sm_86 too, but not on sm_90; compute_XX (PTX) is compiled again for whatever comes later
    fits = any(arch // 10 == major and arch % 10 <= minor for arch in capable)
    later = any(arch.startswith("compute_") and int(arch.split("_")[1]) <= major * 10 + minor for arch in built_for)
    if not fits and not later:
        raise GpuKernelError(
            f"gpu_id: GPU {gpu} ({torch.cuda.get_device_name(gpu)}, sm_{major}{minor}) is not one that torch"
            f" {torch.__version__} was built for ({' '.join(built_for)}); use the image flavour 'current' for Hopper"
            " and later, 'cu111' for Pascal to Ampere"
        )


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type for mixed precision, None for plain fp32.

    Training and prediction both ask here, so that a detector is evaluated in the arithmetic that it was trained in.
    bf16 on a CPU without bf16 kernels becomes fp32, with a warning.

    Args:
        precision: `auto`, `fp32`, `bf16` or `fp16`. `auto` is bf16 on a GPU that has it, else fp32.

    Raises:
        ConfigError: the device cannot compute in it.
    """
    if precision == "fp32":
        return None
    if precision == "bf16":
        if device.type == "cpu" and not onednn_has_bf16():
            if distributed.rank() == 0:  # the other processes run on the same processor
                logger.warning(
                    "precision: bf16 needs a processor with AVX-512 or other bf16 support of oneDNN, which this one"
                    " does not have; computing in fp32, which is faster here"
                )
            return None
        return torch.bfloat16
    if precision == "fp16":
        if device.type == "cpu":
            raise ConfigError("precision: fp16 needs a GPU; use bf16, fp32 or auto on the CPU")
        return torch.float16
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None


def configure_cuda(cfg: Mapping[str, Any], device: torch.device) -> None:
    """Let cuDNN try its algorithms, and fp32 round to TF32 or not, as CUDNN_BENCHMARK and FLOAT32_PRECISION specify.

    Has no effect on the CPU. Source: the behaviour of detectron2's `default_setup`.
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.benchmark = cfg["CUDNN_BENCHMARK"]
    precision = cfg["FLOAT32_PRECISION"]
    if not precision:
        return
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "highest"
    if hasattr(torch, "set_float32_matmul_precision"):  # from torch 1.12 on; it tells "high" from "medium"
        torch.set_float32_matmul_precision(precision)


def onednn_has_bf16() -> bool:
    """Return whether oneDNN's bf16 kernels run on this processor; True where torch cannot tell.

    Without them `torch.mkldnn_convolution` raises, and autocast takes native kernels that are slower than fp32.
    """
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        # torch before 2.0, and builds without oneDNN, lack the operator: torch 1.10 says so with a RuntimeError
        return True


def describe_device(device: torch.device) -> str:
    """Return what runs the network, for the log."""
    if device.type == "cuda":
        return f"GPU {device.index} ({torch.cuda.get_device_name(device)})"
    return f"CPU ({torch.get_num_threads()} threads)"


def loader_workers(requested: int, device: torch.device) -> int:
    """Return the number of processes that read training images; 0 requested lets the device decide.

    On the CPU one: more would take from the network the cores that they use.
    """
    if requested:
        return requested
    if device.type != "cuda":
        return 1
    # affinity, not cpu_count: a container may own fewer cores than the machine has
    return min(8, max(1, len(os.sched_getaffinity(0)) // distributed.world_size()))
