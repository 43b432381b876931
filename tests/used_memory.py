"""Memory that holds NaN, for tests of code that might read what nobody has written."""

from __future__ import annotations

import torch


def used_memory() -> None:
    """Leave NaN in the memory that is handed out next."""
    for count in (64, 256, 1024, 4096, 16384, 36864, 65536):
        blocks = [torch.full((count,), float("nan")) for _ in range(4)]
        del blocks
