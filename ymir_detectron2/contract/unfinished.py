"""Finished pieces of an unfinished task: what a task that is started again on the same /out need not do again.

    /out/.unfinished/mining-3f9c/0001-8d41c2e07b5a6f93.tsv       one file per process and run, never written by another
    17 \\t [["/in/assets/17/8e5f.jpg", -0.0123], ...]             a block of candidates by number, and what it gave

A line counts once its end is written: whatever kills a process, others ignore what it left of the last one.
"""

from __future__ import annotations

import heapq
import json
import os
import secrets
import shutil
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Iterable, Iterator

from ..errors import StorageError

UNFINISHED_FOLDER = ".unfinished"
"""Below the output folder; it is gone when a task has ended well."""
_SUFFIX = ".tsv"


class UnfinishedWork:
    """The finished blocks of one task, written by all of its processes, of this run and of earlier ones."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        """
        Args:
            folder: `<kind>-<fingerprint>` below `UNFINISHED_FOLDER`; all runs of the same task name the same.
            rank: of this process, which makes its files easier to tell from others.
        """
        self.folder = folder
        self._rank = rank
        self._path: Path | None = None
        self._last_added = -1
        self._done: set[int] = set()
        self._read_bytes: dict[str, int] = {}

    def add(self, block: int, payload: Any) -> None:
        """Keep what a finished block gave; blocks of one process come in ascending order.

        Args:
            payload: anything that JSON can hold.

        Raises:
            StorageError: the file system refused; the block does not count as finished.
        """
        assert block > self._last_added, f"block {block} after {self._last_added}"
        if self._path is None:
            self._path = self._new_file()
        # ASCII: a file name that is no UTF-8 comes out as escapes, and comes back
        line = f"{block}\t{json.dumps(payload)}\n".encode("ascii")
        try:
            _append(self._path, [line])
        except StorageError:
            self._path = None  # nothing may follow a torn line
            raise
        self._last_added = block

    def copy_in(self, pieces: Iterable[bytes]) -> None:
        """Take over a file of another machine into one of our own; blocks must ascend in it.

        Raises:
            StorageError: the file system refused.
        """
        _append(self._new_file(), pieces)

    def done(self) -> set[int]:
        """The numbers of all finished blocks; each call reads only what was added since the last one."""
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self._read_bytes.get(path.name, 0))
                for block, _ in _lines(file):
                    self._done.add(block)
                    self._read_bytes[path.name] = file.tell()
        return set(self._done)

    def lines(self) -> Iterator[Iterator[tuple[int, bytes]]]:
        """Each file as its complete lines: number of the block, and the line with its end."""
        for path in self._files():
            with path.open("rb") as file:
                yield _lines(file)

    def in_order(self) -> Iterator[tuple[int, Any]]:
        """Every finished block once, in ascending order, with what it gave; one line per file is in memory."""
        files = [path.open("rb") for path in self._files()]
        try:
            before = -1
            for block, line in heapq.merge(*map(_lines, files), key=itemgetter(0)):
                if block != before:
                    yield block, self._payload(block, line)
                before = block
        finally:
            for file in files:
                file.close()

    def remove_others(self) -> None:
        """Delete what earlier tasks of the same kind left; they had other settings, another model or other pictures."""
        for other in _folders(self.folder.parent):
            if other.name != self.folder.name and _kind(other) == _kind(self.folder):
                _remove_tree(other)

    def _payload(self, block: int, line: bytes) -> Any:
        try:
            return json.loads(line.partition(b"\t")[2])
        except ValueError as error:
            raise StorageError(
                f"{self.folder}: block {block} is damaged ({error}); delete this folder and start the task again"
            ) from error

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return []  # nothing is finished yet

    def _new_file(self) -> Path:
        """An empty file of a name that no other run has used."""
        path = self.folder / f"{self._rank:04d}-{secrets.token_hex(8)}{_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
            return path
        except OSError as error:
            raise StorageError.from_os_error(path, error) from error


def remove_unfinished(output_dir: Path, machine_rank: int = 0) -> None:
    """Delete what unfinished work is left of tasks in this output folder, after one has ended well.

    Args:
        machine_rank: machines other than 0 leave a folder alone that they share with it: it may still read there.

    Raises:
        StorageError: the file system refused.
    """
    folder = output_dir / UNFINISHED_FOLDER
    if machine_rank == 0 or not any(folder.glob(f"*/{mark_name(0, '*')}")):
        _remove_tree(folder)


def mark_name(rank: int, token: str) -> str:
    """The file by which processes find out who shares a folder; that of rank 0 stays as long as the folder."""
    return f"process-{rank}-{token}"


def _append(path: Path, pieces: Iterable[bytes]) -> None:
    size = path.stat().st_size
    try:
        with path.open("ab") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        _cut_back(path, size)
        raise StorageError.from_os_error(path, error) from error


def _cut_back(path: Path, size: int) -> None:
    """Free the space of a torn line: on a full disk the failure report needs it."""
    try:
        os.truncate(path, size)
    except OSError:
        return  # readers ignore what has no end


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """From where the file stands: number of the block and whole line, up to the last line that has an end."""
    while True:
        line = file.readline()
        if not line.endswith(b"\n"):
            return
        number = line.partition(b"\t")[0]
        if number.isdigit():  # a power cut may leave zeros where a line was
            yield int(number), line


def _kind(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []


def _remove_tree(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return  # another process was faster, or there never was any
    except OSError as error:
        raise StorageError.from_os_error(folder, error) from error
