"""Finished work of several machines brought to the one that writes the result.

Machines may share /out or not, and nobody says which: each process leaves a mark in its folder, and looks whose marks
stand beside it. One process for each folder that rank 0 does not see sends what is in there.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Iterable, Iterator

import torch
import torch.distributed as dist

from ..atomic_file import atomic_write
from ..contract.unfinished import UnfinishedWork, mark_name
from ..errors import ExecutorError
from ..training import processes

_PIECE_BYTES = 1 << 20
_END_OF_FILE, _END_OF_ALL = 0, -1
"""In the place of the length of a piece."""


def collect(work: UnfinishedWork, folder: Path) -> None:
    """Bring every finished block into the folder of rank 0; called in all processes together.

    Args:
        work: of this process.
        folder: where it lies.

    Raises:
        StorageError: the folder of rank 0 cannot hold it.
        ExecutorError: another process is gone.
    """
    try:
        processes.join(torch.device("cpu"))
        try:
            _collect(work, folder)
        finally:
            processes.leave()
    except RuntimeError as error:  # all that torch says about a broken connection
        finding = " ".join(str(error).split())
        raise ExecutorError(
            f"the finished pictures could not be brought to machine 0 ({finding}); start the task again on the same"
            " /out of every machine: finished pictures are kept"
        ) from error


def _collect(work: UnfinishedWork, folder: Path) -> None:
    senders = _senders(folder)
    # what an earlier run has brought already need not travel again
    there = processes.gather(work.done() if senders and processes.rank() == 0 else None)[0]
    for sender in senders:
        if processes.rank() == sender:
            _send(work, there)
        elif processes.rank() == 0:
            _receive(work, sender)
    processes.gather(None)  # nobody leaves before the last piece is there


def _senders(folder: Path) -> list[int]:
    """The lowest rank of each folder that is not that of rank 0."""
    token = processes.gather(secrets.token_hex(8))[0]
    mark = folder / mark_name(processes.rank(), token)
    with atomic_write(mark):
        pass
    processes.gather(None)  # all marks stand
    ranks = range(processes.world_size())
    lowest = next(rank for rank in ranks if (folder / mark_name(rank, token)).exists())
    lowest_of_all = processes.gather(lowest)
    if processes.rank() != 0:
        mark.unlink()
    return sorted({*lowest_of_all} - {0})


def _send(work: UnfinishedWork, there: set[int]) -> None:
    for lines in work.lines():
        for piece in _pieces(line for block, line in lines if block not in there):
            _send_length(len(piece))
            dist.send(torch.frombuffer(piece, dtype=torch.uint8), 0)
        _send_length(_END_OF_FILE)
    _send_length(_END_OF_ALL)


def _send_length(length: int) -> None:
    dist.send(torch.tensor([length]), 0)


def _receive(work: UnfinishedWork, sender: int) -> None:
    length = _receive_length(sender)
    while length != _END_OF_ALL:
        if length != _END_OF_FILE:
            work.copy_in(_received(length, sender))
        length = _receive_length(sender)


def _received(length: int, sender: int) -> Iterator[bytes]:
    """The pieces of one file; the length of the first one has been read."""
    while length != _END_OF_FILE:
        piece = torch.empty(length, dtype=torch.uint8)
        dist.recv(piece, sender)
        yield piece.numpy().tobytes()
        length = _receive_length(sender)


def _receive_length(sender: int) -> int:
    length = torch.empty(1, dtype=torch.int64)
    dist.recv(length, sender)
    return int(length)


def _pieces(lines: Iterable[bytes]) -> Iterator[bytearray]:
    """Lines joined, and cut where they are longer than a piece."""
    waiting = bytearray()
    for line in lines:
        waiting += line
        while len(waiting) >= _PIECE_BYTES:
            yield waiting[:_PIECE_BYTES]
            del waiting[:_PIECE_BYTES]
    if waiting:
        yield waiting
