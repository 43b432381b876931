"""Partial results of mining and inference, so that a task restarted on the same /out resumes instead of repeating.

    /out/.unfinished/mining-3f9c/0001-5be2-8d41c2e0.tsv    one file per process and start, which 5be2 names
    17 \\t [{"score": -0.0123}, ...] \\t 5d0cf11a          number of a block of candidates, its results, CRC-32
    18? \\t [...] \\t e81a02b7                            provisional: to be checked again at the next start

A provisional block holds images that could not be read: a folder that was not mounted may be there at the next start.
It counts as finished only for the start that wrote it.

Readers ignore a line without its end, with another checksum, or that is none of this task, whatever killed the process
or the machine: its block is done again. No process writes into the file of another, so no lock is needed, and several
processes, a restart and a second machine are the same case.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import re
import secrets
import shutil
import zlib
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Callable, Iterable, Iterator, NamedTuple

from ..errors import StorageError
from ..untrusted_files import open_regular

PARTIAL_RESULTS_DIR = ".unfinished"
"""Below the output folder; removed when a task has ended well."""
_SUFFIX = ".tsv"
_PROVISIONAL = "?"
_LINE = re.compile(rb"(\d{1,18})(\??)\t(.+)\t([0-9a-f]{8})\n", re.DOTALL)


class _Line(NamedTuple):
    block: int
    is_provisional: bool
    json: bytes
    """The payload."""
    content: bytes
    """As it is in the file."""


class PartialResults:
    """The finished blocks of one task, from all of its processes, of this run and of earlier ones."""

    def __init__(
        self, folder: Path, rank: int = 0, start: str = "", accepts: Callable[[int, Any], bool] = lambda *_: True
    ) -> None:
        """
        Args:
            folder: `<kind>-<fingerprint>` below `PARTIAL_RESULTS_DIR`; all runs of the same task use the same one.
            rank: of this process; part of its file names, for people who look at the folder.
            start: letters and digits that no other start of the task has, the same for all processes of this one.
            accepts: tells from number and payload whether a line of an earlier start can be of this task.
        """
        self.folder = folder
        self._start = start or secrets.token_hex(8)
        self.starts = {self._start}
        """Whose provisional blocks count as finished: those of this start, which each machine names differently."""
        self._rank = rank
        self._accepts = accepts
        self._path: Path | None = None
        self._last_added = -1
        self._done: set[int] = set()
        self._provisional: dict[str, set[int]] = {}
        """Per start."""
        self._read: dict[str, tuple[int, int]] = {}
        """Per file: the bytes that were read, and the last block in them."""

    def add(self, block: int, payload: Any, *, provisional: bool = False) -> None:
        """Write the results of a finished block.

        Args:
            block: its number.
            payload: anything that JSON can represent.
            provisional: the next start has to check it again.

        Raises:
            StorageError: the file system refused; the block does not count as finished.
        """
        if self._path is None or block <= self._last_added:  # in_order() merges the files without sorting them
            self._path = self._new_file()
        # ASCII: JSON escapes the surrogates of a file name that is not UTF-8, and restores them
        content = f"{block}{_PROVISIONAL * provisional}\t{json.dumps(payload)}".encode("ascii")
        line = b"%b\t%08x\n" % (content, zlib.crc32(content))
        try:
            _append(self._path, [line])
        except StorageError:
            self._path = None  # the last line may be incomplete, and another one appended to it would look complete
            raise
        self._last_added = block

    def copy_in(self, pieces: Iterable[bytes]) -> None:
        """Copy a file of another machine into a new file of this start; its blocks must be in ascending order.

        Raises:
            StorageError: the file system refused.
        """
        _append(self._new_file(), pieces)

    def done(self) -> set[int]:
        """Return the numbers of all finished blocks; each call reads only what was added since the last one."""
        for path in self._files():
            provisional = self._provisional.setdefault(_start_of(path), set())
            with open_regular(path) as file:
                num_bytes, last = self._read.get(path.name, (0, -1))
                file.seek(num_bytes)
                # only past complete lines: an incomplete one may be completed later
                for line, num_bytes in self._complete_lines(path, file, last):
                    if line is not None:
                        (provisional if line.is_provisional else self._done).add(line.block)
                        last = line.block
                    self._read[path.name] = num_bytes, last
        return self._done.union(*(self._provisional.get(start, ()) for start in self.starts))

    def provisional(self) -> Iterator[tuple[int, Any]]:
        """Yield number and payload of the blocks that an earlier start could finish only provisionally, ascending."""
        done = self.done()
        return ((block, payload) for block, payload in self.in_order() if block not in done)

    def lines(self) -> Iterator[Iterator[tuple[int, bytes]]]:
        """Yield the complete lines of each file: the number of the block, and the line with its end."""
        for path in self._files():
            with open_regular(path) as file:
                yield ((line.block, line.content) for line, _ in self._complete_lines(path, file) if line is not None)

    def in_order(self) -> Iterator[tuple[int, Any]]:
        """Yield number and payload of every block once, in ascending order; memory holds one line per file.

        Of several results of a block, a final one comes before a provisional one, and that before one of an earlier
        start. Final ones are the same, whichever run made them.
        """
        with contextlib.ExitStack() as stack:
            files = (
                self._ranked_lines(path, stack.enter_context(open_regular(path))) for path in self._files()
            )
            before = -1
            for (block, *_), line in heapq.merge(*files, key=itemgetter(0)):
                if block == before:
                    continue
                before = block
                yield block, json.loads(line.json)

    def remove_others(self) -> None:
        """Delete the partial results of earlier tasks of this kind with other settings, another model or other images.

        Raises:
            StorageError: the file system refused.
        """
        parent = self.folder.parent
        for other in list(parent.iterdir()) if parent.is_dir() else []:
            if other.is_dir() and other.name != self.folder.name and _kind(other) == _kind(self.folder):
                _remove_tree(other)

    def _complete_lines(self, path: Path, file: IO[bytes], last: int = -1) -> Iterator[tuple[_Line | None, int]]:
        """Yield each line up to the last line end, None if it is not of this task, and the place behind it.

        Args:
            file: `path`, opened and at the beginning of a line.
            last: the block before that line: in_order() merges what is in ascending order.
        """
        # what this start has written need not be judged, which takes five times as long as reading it
        is_own = _start_of(path) in self.starts
        # readline, since tell() does not work in an iteration
        while (content := file.readline()).endswith(b"\n"):
            line = _parse(content)
            if line is not None and (line.block <= last or not (is_own or self._can_be_ours(line))):
                line = None
            last = last if line is None else line.block
            yield line, file.tell()

    def _can_be_ours(self, line: _Line) -> bool:
        try:
            return self._accepts(line.block, json.loads(line.json))
        except (ValueError, RecursionError):
            return False

    def _ranked_lines(self, path: Path, file: IO[bytes]) -> Iterator[tuple[tuple[int, bool, bool], _Line]]:
        """Yield each line behind what decides which of several results of a block is taken: the lowest."""
        is_earlier = _start_of(path) not in self.starts
        for line, _ in self._complete_lines(path, file):
            if line is not None:
                yield (line.block, line.is_provisional, is_earlier), line

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == _SUFFIX and path.is_file())
        except FileNotFoundError:
            return []  # no block is finished yet

    def _new_file(self) -> Path:
        # random at the end: nobody appends to the file of an earlier run, or of another machine
        path = self.folder / f"{self._rank:04d}-{self._start}-{secrets.token_hex(4)}{_SUFFIX}"
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


def has_finished_block(folder: Path) -> bool:
    """Return whether a folder of partial results holds any complete line."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with open_regular(path) as file:
            if any(_parse(line) is not None for line in file):
                return True
    return False


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


def _parse(content: bytes) -> _Line | None:
    """Return a line; None: a power cut may leave zero bytes or old ones in its place."""
    match = _LINE.fullmatch(content)
    if match is None or match[4] != b"%08x" % zlib.crc32(content[: match.start(4) - 1]):
        return None
    return _Line(int(match[1]), bool(match[2]), match[3], content)


def _start_of(path: Path) -> str:
    return path.name.partition("-")[2].partition("-")[0]


def _kind(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _remove_tree(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return  # removed by another process, or never made
    except OSError as error:
        raise StorageError.from_os_error(folder, error) from error
