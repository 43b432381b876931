"""Numbers in a row, and tensors within their bounds."""

from __future__ import annotations

import io

import pytest
import torch

from ymir_detectron2.retinanet.pickle_arguments import MalformedPickleError
from ymir_detectron2.retinanet.torch_storage import Storage, StorageType


def storage(dtype: torch.dtype, content: bytes) -> Storage:
    kind = StorageType(dtype)
    filled = Storage(kind, len(content) // kind.element_size)
    filled.fill(io.BytesIO(content))
    return filled


def test_a_view_has_the_numbers_that_its_strides_reach():
    numbers = storage(torch.uint8, bytes(range(12)))
    assert numbers.tensor(1, (2, 3), (6, 2)).tolist() == [[1, 3, 5], [7, 9, 11]]
    assert numbers.tensor(11, (), ()).item() == 11
    assert numbers.tensor(0, (12,), (1,)).tolist() == list(range(12))


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_an_empty_tensor_needs_no_numbers(shape: tuple[int, ...]):
    found = storage(torch.float32, b"").tensor(5, shape, (1,) * len(shape))
    assert found.shape == shape
    assert found.dtype == torch.float32


def test_the_last_number_of_a_view_decides():
    numbers = storage(torch.uint8, bytes(12))
    with pytest.raises(MalformedPickleError, match="beyond its 12 numbers"):
        numbers.tensor(2, (2, 3), (6, 2))


def test_booleans_are_0_or_1_whatever_the_file_holds():
    flags = storage(torch.bool, b"\x00\x01\xff").tensor(0, (3,), (1,))
    assert flags.view(torch.uint8).tolist() == [0, 1, 1]


def test_a_file_that_ends_early_is_malformed():
    with pytest.raises(MalformedPickleError, match="ends within a tensor"):
        Storage(StorageType(torch.float32), 2).fill(io.BytesIO(b"1234567"))
