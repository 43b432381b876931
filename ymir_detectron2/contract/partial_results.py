"""Partial results of mining and inference, so that a task restarted on the same /out resumes instead of repeating.

    /out/.unfinished/mining-3f9c/0001-8d41c2e07b5a6f93.tsv       one file per process and run
    17 \\t [["/in/assets/17/8e5f.jpg", -0.0123], ...]             number of a block of candidates, and its results

A line is complete once its line end is written: readers ignore an incomplete last line, whatever killed the process. No
process writes into the file of another, so no lock is needed, and several processes, a restart and a second machine are
the same case.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import secrets
import shutil
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Iterable, Iterator

from ..errors import StorageError

PARTIAL_RESULTS_DIR = ".unfinished"
"""Below the output folder; removed when a task has ended well."""
_SUFFIX = ".tsv"


class PartialResults:
    """The finished blocks of one task, from all of its processes, of this run and of earlier ones."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        """
        Args:
            folder: `<kind>-<fingerprint>` below `PARTIAL_RESULTS_DIR`; all runs of the same task use the same one.
            rank: of this process; part of its file names, for people who look at the folder.
        """
        self.folder = folder
        self._rank = rank
        self._path: Path | None = None
        self._last_added = -1
        self._done: set[int] = set()
        self._read_bytes: dict[str, int] = {}

    def add(self, block: int, payload: Any) -> None:
        """Write the results of a finished block; the blocks of one process must come in ascending order.

        Args:
            block: its number.
            payload: anything that JSON can represent.

        Raises:
            StorageError: the file system refused; the block does not count as finished.
        """
        # ascending, because in_order() merges the files without sorting them
        assert block > self._last_added, f"block {block} after {self._last_added}"
        if self._path is None:
            self._path = self._new_file()
        # ASCII: JSON escapes the surrogates of a file name that is not UTF-8, and restores them
        line = f"{block}\t{json.dumps(payload)}\n".encode("ascii")
        try:
            _append(self._path, [line])
        except StorageError:
            self._path = None  # the last line may be incomplete, and another one appended to it would look complete
            raise
        self._last_added = block

    def copy_in(self, pieces: Iterable[bytes]) -> None:
        """Copy a file of another machine into a new file; its blocks must be in ascending order.

        Raises:
            StorageError: the file system refused.
        """
        _append(self._new_file(), pieces)

    def done(self) -> set[int]:
        """Return the numbers of all finished blocks; each call reads only what was added since the last one."""
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self._read_bytes.get(path.name, 0))
                for block, _ in _complete_lines(file):
                    self._done.add(block)
                    # only past complete lines: an incomplete one may be completed later
                    self._read_bytes[path.name] = file.tell()
        return set(self._done)

    def lines(self) -> Iterator[Iterator[tuple[int, bytes]]]:
        """Yield the complete lines of each file: the number of the block, and the line with its end."""
        for path in self._files():
            with path.open("rb") as file:
                yield _complete_lines(file)

    def in_order(self) -> Iterator[tuple[int, Any]]:
        """Yield number and payload of every finished block once, in ascending order; memory holds one line per file."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self._files()]
            before = -1
            for block, line in heapq.merge(*map(_complete_lines, files), key=itemgetter(0)):
                if block == before:  # two runs may have done the same block, with the same results
                    continue
                before = block
                try:
                    payload = json.loads(line.partition(b"\t")[2])
                except ValueError as error:
                    raise StorageError(
                        f"{self.folder}: block {block} is damaged ({error});"
                        " delete this folder and start the task again"
                    ) from error
                yield block, payload

    def remove_others(self) -> None:
        """Delete the partial results of earlier tasks of this kind with other settings, another model or other images.

        Raises:
            StorageError: the file system refused.
        """
        parent = self.folder.parent
        for other in list(parent.iterdir()) if parent.is_dir() else []:
            if other.is_dir() and other.name != self.folder.name and _kind(other) == _kind(self.folder):
                _remove_tree(other)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return []  # no block is finished yet

    def _new_file(self) -> Path:
        # random: a restart has the same ranks, and nobody appends to the file of an earlier run
        path = self.folder / f"{self._rank:04d}-{secrets.token_hex(8)}{_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
            return path
        except OSError as error:
            raise StorageError.from_os_error(path, error) from error


def remove_partial_results(output_dir: Path, machine_rank: int = 0) -> None:
    """Delete all partial results in an output folder, after a task has ended well.

    Args:
        output_dir: /out.
        machine_rank: machines other than 0 keep a folder that they share with machine 0, which may still read it.

    Raises:
        StorageError: the file system refused.
    """
    folder = output_dir / PARTIAL_RESULTS_DIR
    if machine_rank == 0 or not any(folder.glob(f"*/{marker_name(0, '*')}")):
        _remove_tree(folder)


def marker_name(rank: int, token: str) -> str:
    """Return the name of the file by which processes find out who shares a folder; rank 0 never removes its own."""
    return f"process-{rank}-{token}"


def _append(path: Path, pieces: Iterable[bytes]) -> None:
    size = path.stat().st_size
    try:
        with path.open("ab") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        # on a full disk, the failure report needs the space of the incomplete line
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise StorageError.from_os_error(path, error) from error


def _complete_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield block number and line from the current position on, up to the last line that has a line end."""
    while True:
        line = file.readline()
        if not line.endswith(b"\n"):
            return
        number = line.partition(b"\t")[0]
        if number.isdigit():  # a power cut may leave zero bytes in place of a line
            yield int(number), line


def _kind(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _remove_tree(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return  # removed by another process, or never made
    except OSError as error:
        raise StorageError.from_os_error(folder, error) from error
