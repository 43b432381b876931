"""Mixed precision by one switch: a dtype, or None for plain fp32."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ContextManager

import torch


def autocast(device: torch.device, dtype: torch.dtype | None) -> ContextManager[Any]:
    """A context in which torch computes in `dtype` where that is safe; with None it changes nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
