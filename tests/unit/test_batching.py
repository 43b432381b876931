"""Batches of equal shape, and what becomes of one that does not fit into memory."""

from __future__ import annotations

import logging

import pytest
import torch

from ymir_detectron2.engines.batching import ShapeBatches

CPU = torch.device("cpu")
ROOM = 5
"""Items that fit into the memory of `Device`."""


class Device:
    """Doubles numbers, remembers the batches, and has only so much memory."""

    def __init__(self, room: int = 100) -> None:
        self.batches: list[list[int]] = []
        self._room = room

    def double(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        if len(batch) > self._room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return [2 * item for item in batch]


def is_odd(item: int) -> int:
    return item % 2


@pytest.mark.parametrize(
    ("items", "size", "batches"),
    [
        pytest.param([], 4, [], id="nothing"),
        pytest.param([1, 2, 3, 4, 5], 4, [[1, 3, 5], [2, 4]], id="by shape"),
        pytest.param([1, 2, 3, 4, 5], 2, [[1, 3], [5], [2, 4]], id="small batches"),
        pytest.param([2, 4, 6, 8, 10], 0, [[2, 4, 6, 8], [10]], id="the CPU decides: four"),
    ],
)
def test_batches(items: list[int], size: int, batches: list[list[int]]):
    device = Device()
    assert ShapeBatches(size, CPU).run(items, is_odd, device.double) == [2 * item for item in items]
    assert device.batches == batches


def test_a_batch_that_does_not_fit_is_halved_for_good_and_said_once(caplog: pytest.LogCaptureFixture):
    device, batches = Device(ROOM), ShapeBatches(16, CPU)
    items = [2 * number for number in range(30)]
    with caplog.at_level(logging.WARNING):
        assert batches.run(items, is_odd, device.double) == [2 * item for item in items]
        assert batches.run(items, is_odd, device.double) == [2 * item for item in items]
    assert [len(batch) for batch in device.batches[:3]] == [16, 8, 4]
    assert {len(batch) for batch in device.batches[3:]} == {4, 2}
    assert [record.message for record in caplog.records if "memory ran out with 16 pictures" in record.message]
    assert len(caplog.records) == 1


def test_one_picture_that_does_not_fit_is_an_error():
    with pytest.raises(RuntimeError, match="out of memory"):
        ShapeBatches(4, CPU).run([1, 3, 5], is_odd, Device(0).double)


def test_other_failures_are_not_tried_again():
    calls = []

    def fail(batch: list[int]) -> list[int]:
        calls.append(batch)
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        ShapeBatches(4, CPU).run([1, 3, 5], is_odd, fail)
    assert len(calls) == 1
