"""The candidates of a mining or inference task, of which there may be a million, in bounded memory.

Only where each line begins is kept, nine bytes per candidate; names are read from the file again when their turn comes.
Who is listed twice is found by 64-bit hashes, and equal hashes are settled by the names themselves: no two pictures are
taken for one.

Letters: L lines of the index that name a picture, C candidates: those of them that are kept.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator

import numpy as np

from ..contract.findings import Findings
from ..contract.index_file import (
    LISTED_TWICE,
    IndexEntry,
    empty_index,
    index_lines,
    line_at,
    open_index,
    require_index,
)
from ..contract.paths import PathMap

_ROLE = "candidate"
_PIECE_BYTES = 1 << 20
_HASH_BYTES = 8


class CandidateIndex:
    """Every picture of candidate-index.tsv once, by number, in the order of the file."""

    digest: str
    """SHA-256 of the file's bytes, in hex: two runs with the same digest number their candidates alike."""

    def __init__(self, path: Path | None, paths: PathMap, findings: Findings) -> None:
        """Read the file once from end to end.

        Args:
            path: the index file; None when env.yaml names none.
            findings: gets the lines that are left out.

        Raises:
            DatasetError: no such file, or no picture in it.
        """
        self._path = require_index(path, _ROLE)
        self._paths = paths
        with open_index(self._path, _ROLE) as file:
            self.digest = _digest(file)
            self._offsets, self._repeats_name = self._survey(file, findings)
        if not len(self):
            raise empty_index(self._path, _ROLE)

    def __len__(self) -> int:
        return len(self._offsets)

    def entries(self, first: int, last: int) -> Iterator[IndexEntry]:
        """The candidates from number `first` on, as far as `last`, which is not one of them; numbers begin at 0.

        Raises:
            DatasetError: the file cannot be read any more.
        """
        with open_index(self._path, _ROLE) as file:
            for number in range(first, min(last, len(self))):
                yield self._entry(file, number)

    def repeats_a_name(self, number: int) -> bool:
        """Whether an earlier candidate has the same file name, which is all that the platform looks at."""
        return bool(self._repeats_name[number])

    def _entry(self, file: BinaryIO, number: int) -> IndexEntry:
        return line_at(file, int(self._offsets[number])).entry(self._paths)

    def _image_path(self, file: BinaryIO, number: int) -> Path:
        return self._entry(file, number).image_path

    def _survey(self, file: BinaryIO, findings: Findings) -> tuple[np.ndarray, np.ndarray]:
        """Where the lines of the candidates begin, (C,) uint64, and which of them repeat a file name, (C,) bool."""
        offsets, path_hashes, name_hashes = self._scan(file, findings)
        self._offsets = offsets  # of all lines, for the time being
        listed_twice = find_repeats(path_hashes, lambda number: self._image_path(file, number))
        del path_hashes
        if listed_twice.any():
            self._report(file, listed_twice, findings)
            self._offsets = offsets = offsets[~listed_twice]
            name_hashes = name_hashes[~listed_twice]
        return offsets, find_repeats(name_hashes, lambda number: self._image_path(file, number).name)

    def _scan(self, file: BinaryIO, findings: Findings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offset, hash of the real path and hash of the file name of every line, (L,) uint64 each."""
        offsets, path_hashes, name_hashes = bytearray(), bytearray(), bytearray()
        file.seek(0)
        for line in index_lines(file, self._path, findings):
            image_path = self._paths.resolve(line.asset)
            offsets += line.offset.to_bytes(8, "little")
            path_hashes += _hash(str(image_path))
            name_hashes += _hash(image_path.name)
        return _as_numbers(offsets), _as_numbers(path_hashes), _as_numbers(name_hashes)

    def _report(self, file: BinaryIO, listed_twice: np.ndarray, findings: Findings) -> None:
        file.seek(0)
        for number, line in enumerate(index_lines(file, self._path, Findings())):
            if listed_twice[number]:
                findings.add(LISTED_TWICE, f"{self._path}:{line.number}: {line.asset}")


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
        digest.update(piece)
    return digest.hexdigest()


def _as_numbers(column: bytearray) -> np.ndarray:
    return np.frombuffer(column, dtype="<u8")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_HASH_BYTES).digest()


def find_repeats(hashes: np.ndarray, value_of: Callable[[int], Any]) -> np.ndarray:
    """Which values stood earlier already.

    Args:
        hashes: (L,) uint64; equal values have equal hashes, different ones nearly always different hashes.
        value_of: the value at a position; only asked for where hashes are equal.

    Returns:
        (L,) bool.
    """
    repeats = np.zeros(len(hashes), dtype=bool)
    order = np.argsort(hashes, kind="stable").astype(np.uint32 if len(hashes) < 1 << 32 else np.uint64)
    in_order = hashes[order]
    same_as_next = np.flatnonzero(in_order[1:] == in_order[:-1])
    del in_order
    first_values: list[Any] = []
    before = -2
    for at in map(int, same_as_next):
        if at != before + 1:
            first_values = [value_of(int(order[at]))]  # a new hash
        before = at
        value = value_of(int(order[at + 1]))
        if value in first_values:
            repeats[order[at + 1]] = True
        else:
            first_values.append(value)
    return repeats
