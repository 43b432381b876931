"""The arithmetic of a device, fp32, bf16 or fp16: decided from facts alone, so that every machine can be tested on any.

devices.py reads the facts and logs the decision.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import torch

_BF16_GPU = (8, 0)  # Ampere; cuDNN has no bf16 convolution for earlier ones, and elsewhere their bf16 is emulated
_TENSOR_CORES = (7, 0)  # Volta
_BF16_CUDA = 11

_NAMES = {None: "fp32", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class DeviceFacts(NamedTuple):
    """What the decision depends on; the defaults are those of a CPU without bf16."""

    gpu_capability: tuple[int, int] | None = None
    """CUDA compute capability; None is the CPU."""
    cuda_major: int = 0
    """Version of CUDA that torch was built with."""
    onednn_has_bf16: bool = False
    """What torch says of its bf16 kernels on this processor."""

    @property
    def has_bf16(self) -> bool:
        """Whether the device computes convolutions in bf16, rather than emulating or refusing them."""
        # not torch.cuda.is_bf16_supported(): from torch 2.4 on it is True for the emulation too, and it asks about
        # the current device only
        if self.gpu_capability is not None:
            return self.gpu_capability >= _BF16_GPU and self.cuda_major >= _BF16_CUDA
        return self.onednn_has_bf16


class Arithmetic(NamedTuple):
    """In what a network computes; its weights, losses, boxes and NMS are fp32 in any case."""

    dtype: torch.dtype | None
    """For autocast; None is plain fp32."""
    warning: str = ""
    """What is not as the user asked, or ''."""


def decide(precision: str, facts: DeviceFacts, network: str = "RetinaNet") -> Arithmetic:
    """Return the arithmetic for the key `precision`: never an error, since a form is carried from machine to machine.

    Args:
        precision: `auto`, `fp32`, `bf16` or `fp16`. `auto` is bf16 on a GPU that has it, else fp32.
        network: MODEL.META_ARCHITECTURE.
    """
    if precision == "bf16" and not facts.has_bf16:
        return Arithmetic(None, _without_bf16(facts))
    if precision == "bf16" and facts.gpu_capability is None and network != "RetinaNet":
        # its pooling of regions and its NMS lack bf16 on the CPU, in some releases of torch and torchvision
        return Arithmetic(None, "precision: bf16 on the CPU is for RetinaNet; computing in fp32")
    if precision == "bf16":
        return Arithmetic(torch.bfloat16)
    if precision == "fp16":
        return _fp16(facts)
    if precision == "auto" and facts.gpu_capability is not None and facts.has_bf16:
        return Arithmetic(torch.bfloat16)
    return Arithmetic(None)


def agree(decisions: Sequence[Arithmetic]) -> Arithmetic:
    """Return the one arithmetic for processes whose gradients are averaged: that of all of them, else fp32."""
    return next((one for one in decisions if one.dtype is None), decisions[0])


def name_of(dtype: torch.dtype | None) -> str:
    """Return the name that the key `precision` has for a type of autocast, or of weights."""
    return _NAMES[dtype]


def _without_bf16(facts: DeviceFacts) -> str:
    if facts.gpu_capability is None:
        return (
            "precision: bf16 on the CPU needs torch 2.0 or later and a processor with AVX-512 or other bf16 support of"
            " oneDNN; computing in fp32, which is faster here"
        )
    hint = "; precision fp16 is faster on it" if facts.gpu_capability >= _TENSOR_CORES else ""
    return (
        f"precision: bf16 needs a GPU of compute capability 8.0 or later and CUDA 11 or later, found"
        f" {_dotted(facts.gpu_capability)} and CUDA {facts.cuda_major}; computing in fp32{hint}"
    )


def _fp16(facts: DeviceFacts) -> Arithmetic:
    if facts.gpu_capability is None:
        # not bf16: it rounds eight times as coarsely as the fp16 that was asked for
        return Arithmetic(None, "precision: fp16 needs a GPU; computing in fp32")
    if facts.gpu_capability < _TENSOR_CORES:
        return Arithmetic(
            torch.float16,
            f"precision: a GPU of compute capability {_dotted(facts.gpu_capability)} has no tensor cores, so that fp16"
            " saves memory, but hardly any time",
        )
    return Arithmetic(torch.float16)


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
