"""Gather the partial results of several machines at the one that writes the result.

Machines may share /out or not, and no setting tells: each process writes a marker file into its folder, and checks
whose marker files appear next to it. One process for each folder that rank 0 cannot read sends its contents.
"""

from __future__ import annotations

import secrets
from typing import Iterable, Iterator

import torch
import torch.distributed as dist

from .. import distributed
from ..atomic_file import atomic_write
from ..contract.partial_results import PartialResults, marker_name
from ..errors import ExecutorError

_PIECE_BYTES = 1 << 20
_END_OF_FILE, _END_OF_ALL = 0, -1
"""In the place of the length of a piece. A file is sent as (length, bytes) of each piece and an end of file."""


def gather_blocks(results: PartialResults) -> None:
    """Copy every finished block into the folder of rank 0; called in all processes together.

    Args:
        results: of this process.

    Raises:
        StorageError: the folder of rank 0 cannot hold it.
        ExecutorError: another process is gone.
    """
    try:
        # CPU, and so gloo: bytes of files are sent, and no GPU is needed for that
        distributed.init_process_group(torch.device("cpu"))
        try:
            # what every machine of this start could not read is finished, too
            results.starts.update(*distributed.all_gather_object(results.starts))
            senders = _senders(results)
            # rank 0 tells which blocks it has, e.g. from an earlier run: these are not sent again
            known = distributed.all_gather_object(results.done() if senders and distributed.rank() == 0 else None)[0]
            # one sender after the other: rank 0 receives from one at a time anyway
            for sender in senders:
                if distributed.rank() == sender:
                    _send(results, known)
                elif distributed.rank() == 0:
                    _receive(results, sender)
            distributed.all_gather_object(None)  # a barrier: no process leaves before the last piece has arrived
        finally:
            distributed.destroy_process_group()
    except RuntimeError as error:  # the only type that torch raises for a broken connection
        finding = " ".join(str(error).split())
        raise ExecutorError(
            f"the finished images could not be brought to machine 0 ({finding}); start the task again on the same"
            " /out of every machine: finished images are kept"
        ) from error


def _senders(results: PartialResults) -> list[int]:
    """The lowest rank of each folder that is not that of rank 0."""
    # a fresh token, so that markers of an earlier run in the same folder are not taken for those of this one
    token = distributed.all_gather_object(secrets.token_hex(8))[0]
    marker = results.folder / marker_name(distributed.rank(), token)
    with atomic_write(marker):
        pass
    distributed.all_gather_object(None)  # a barrier: all marker files exist
    ranks = range(distributed.world_size())
    lowest = next(rank for rank in ranks if (results.folder / marker_name(rank, token)).exists())
    lowest_of_all = distributed.all_gather_object(lowest)
    # that of rank 0 stays: it tells other machines at the end that this folder is still in use
    if distributed.rank() != 0:
        marker.unlink()
    return sorted({*lowest_of_all} - {0})


def _send(results: PartialResults, known: set[int]) -> None:
    for lines in results.lines():
        for piece in _pieces(line for block, line in lines if block not in known):
            _send_length(len(piece))
            dist.send(torch.frombuffer(piece, dtype=torch.uint8), 0)
        _send_length(_END_OF_FILE)
    _send_length(_END_OF_ALL)


def _send_length(length: int) -> None:
    dist.send(torch.tensor([length]), 0)


def _receive(results: PartialResults, sender: int) -> None:
    length = _receive_length(sender)
    while length != _END_OF_ALL:
        if length != _END_OF_FILE:
            results.copy_in(_receive_file(length, sender))
        length = _receive_length(sender)


def _receive_file(length: int, sender: int) -> Iterator[bytes]:
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
    """Join lines into pieces of at most _PIECE_BYTES; a longer line is cut."""
    waiting = bytearray()
    for line in lines:
        waiting += line
        while len(waiting) >= _PIECE_BYTES:
            yield waiting[:_PIECE_BYTES]
            del waiting[:_PIECE_BYTES]
    if waiting:
        yield waiting
