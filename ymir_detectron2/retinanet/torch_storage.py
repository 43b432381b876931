"""The numbers of a torch file, and tensors that are views of them, within bounds that are checked here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .pickle_arguments import MalformedPickleError
from .unpickling import are_sizes, is_shape


class StorageType:
    """What a name such as `torch.FloatStorage` stands for."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.element_size = torch.empty((), dtype=dtype).element_size()


class Storage:
    """Numbers of one type in a row."""

    def __init__(self, kind: StorageType, num_elements: int) -> None:
        self.kind = kind
        self.num_elements = num_elements
        self.content = bytearray(num_elements * kind.element_size)
        self.is_filled = False

    def fill(self, file: Any) -> None:
        """Read the content from a file that is positioned at it.

        Raises:
            MalformedPickleError: the file ends before.
        """
        left = memoryview(self.content)
        while left:
            num_read = file.readinto(left)
            if not num_read:
                raise MalformedPickleError("the file ends within a tensor")
            left = left[num_read:]
        if self.kind.dtype == torch.bool and self.content:  # torch 1.10 adds up the bytes, and 255 would count as many
            flags = np.frombuffer(self.content, np.uint8)
            np.minimum(flags, 1, out=flags)
        self.is_filled = True

    def tensor(self, offset: Any, shape: Any, strides: Any) -> Tensor:
        """Return a view of the content, which may be read later.

        Args:
            offset: of the first number, in elements.
            shape: (dimensions,) sizes.
            strides: (dimensions,) in elements.

        Raises:
            MalformedPickleError: the view does not lie in this storage; or it has more elements than the storage, as an
                expanded tensor does, whose copy would take any amount of memory.
        """
        if not is_shape(shape) or not are_sizes(strides) or len(shape) != len(strides) or not are_sizes((offset,)):
            raise MalformedPickleError("a tensor without offset, shape or strides")
        num_elements = math.prod(shape)
        if num_elements == 0:
            return torch.empty(shape, dtype=self.kind.dtype)
        # Python's integers do not overflow; those of torch 1.10 do, and pass its own check
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
        if last >= self.num_elements or num_elements > self.num_elements:
            raise MalformedPickleError(f"a tensor of shape {shape} that reaches beyond its {self.num_elements} numbers")
        return torch.frombuffer(self.content, dtype=self.kind.dtype).as_strided(shape, strides, offset)
