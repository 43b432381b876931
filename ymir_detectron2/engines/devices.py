"""The device of a process: which one, what it can compute in, how it is described and set up."""

from __future__ import annotations

import logging
import os
import re
from typing import Any, Mapping

import torch

from .. import distributed
from ..errors import GpuKernelError, NoGpuError
from .arithmetic import DeviceFacts, agree, decide, name_of

logger = logging.getLogger(__name__)


def choose_device(gpu_ids: tuple[int, ...] | None, local_rank: int) -> torch.device:
    """Return the device of one process; a GPU becomes torch's current one.

    Args:
        gpu_ids: () is the CPU; None: the GPUs from 0 on if there is one, else the CPU.
        local_rank: which of them is meant.

    Raises:
        NoGpuError: a GPU was asked for and is not there.
        GpuKernelError: it is there, but this torch build cannot run on it.
    """
    if gpu_ids is None:
        gpu_ids = (local_rank,) if torch.cuda.is_available() else ()
    elif not gpu_ids and distributed.rank() == 0 and torch.cuda.is_available():  # the others would say the same
        logger.warning("gpu_id: '' asks for the CPU, but there is a GPU; leave gpu_id out, or set it to '0', to use it")
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
    # autocast of torch 1.10, random states, detectron2 and NCCL use the current GPU, whichever the tensors are on
    torch.cuda.set_device(gpu)
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


def choose_arithmetic(precision: str, device: torch.device, network: str) -> torch.dtype | None:
    """Return the type for autocast on this device, None for plain fp32; log what is not as asked, see `decide`.

    Training and prediction both ask here, so that a detector is evaluated in the arithmetic that it was trained in.
    The processes of a training agree; before its process group is there, each decides for itself.

    Args:
        precision: a value of the key of that name.
        network: MODEL.META_ARCHITECTURE.
    """
    decisions = [decide(precision, read_facts(device), network)]
    if distributed.is_connected():
        decisions = distributed.all_gather_object(decisions[0])
    arithmetic = agree(decisions)
    if arithmetic.warning and distributed.rank() == 0:
        logger.warning(arithmetic.warning)
    return arithmetic.dtype


def read_facts(device: torch.device) -> DeviceFacts:
    """Ask torch what `decide` has to know of a device."""
    if device.type == "cuda":
        cuda_major = int((torch.version.cuda or "0").split(".")[0])
        return DeviceFacts(torch.cuda.get_device_capability(device), cuda_major)
    return DeviceFacts(onednn_has_bf16=_onednn_has_bf16())


def _onednn_has_bf16() -> bool:
    """Without its kernels `torch.mkldnn_convolution` raises, and autocast takes native ones, slower than fp32."""
    try:
        return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        # torch before 2.0 lacks the operator: torch 1.10 says so with a RuntimeError. It lacks bf16 elsewhere too:
        # its max_pool2d raises behind a frozen BN, and its GN is slower than in fp32
        return False


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


def describe_device(device: torch.device) -> str:
    """Return what runs the network, for the log."""
    if device.type == "cuda":
        return f"GPU {device.index} ({torch.cuda.get_device_name(device)})"
    return f"CPU ({_vector_instructions()}, {torch.get_num_threads()} threads)"


def describe_arithmetic(device: torch.device, dtype: torch.dtype | None) -> str:
    """Return what the last digits of a result depend on: precision and kind of device, e.g. `bf16 on CPU (AVX512)`."""
    kind = f"GPU ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else f"CPU ({_vector_instructions()})"
    return f"{name_of(dtype)} on {kind}"


def _vector_instructions() -> str:
    """Return the ones that torch's kernels use, e.g. AVX512; from a text, since torch 1.10 has no function for it."""
    found = re.search(r"CPU capability usage: (.+)", torch.__config__.show())
    return found[1] if found else "unknown instructions"


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
