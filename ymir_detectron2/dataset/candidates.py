"""The candidates of a mining or inference task, of which there may be a million, in bounded memory.

Only the byte offset of each line is kept, and whether its file name occurred before: nine bytes per candidate. Paths
are read from the file again when they are needed. Duplicates are found by 64-bit hashes instead of a set of a million
strings; equal hashes are confirmed by comparing the paths themselves, so that no image is lost to a collision.

Letters: L lines of the index that name an image, C candidates: the lines that are kept.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterable, Iterator

import numpy as np

from ..contract.data_issues import DataIssues
from ..contract.index_file import (
    LISTED_TWICE,
    IndexEntry,
    empty_index,
    index_encoding,
    index_lines,
    line_at,
    open_index,
    require_index,
)
from ..contract.paths import PathMap
from ..file_digest import stream_digest

_ROLE = "candidate"
_HASH_BYTES = 8  # a million names then collide with a probability of 3e-8, and a collision only costs two reads


class CandidateIndex:
    """Every image of candidate-index.tsv once, by number, in the order of the file."""

    digest: str
    """SHA-256 of the file in hex: two runs with the same digest give their candidates the same numbers."""

    def __init__(self, path: Path | None, paths: PathMap, issues: DataIssues) -> None:
        """Read the file once from end to end.

        Args:
            path: the index file; None when env.yaml names none.
            paths: container paths to real paths.
            issues: counts lines without an image and images that are listed twice.

        Raises:
            DatasetError: no such file, or no image in it.
        """
        self._path = require_index(path, _ROLE)
        self._paths = paths
        with open_index(self._path, _ROLE) as file:
            self.digest = stream_digest(file)
            self._encoding = index_encoding(file)
            offsets, path_hashes, name_hashes = self._scan(file, issues)  # (L,) uint64 each
            listed_twice = find_repeats(path_hashes, lambda row: self._entry(file, offsets[row]).image_path)
            del path_hashes  # before the next sort: together they would be the peak of the memory
            if listed_twice.any():
                # line numbers are not kept, so that rare duplicates cost a second pass instead of memory
                file.seek(0)
                for row, line in enumerate(index_lines(file, self._path, DataIssues())):
                    if listed_twice[row]:
                        issues.add(LISTED_TWICE, f"{self._path}:{line.number}: {line.asset}")
                offsets, name_hashes = offsets[~listed_twice], name_hashes[~listed_twice]  # (C,)
            self._offsets = offsets
            self._repeats_name = find_repeats(name_hashes, lambda row: self._entry(file, offsets[row]).image_path.name)
        if not len(self):
            raise empty_index(self._path, _ROLE)

    def __len__(self) -> int:
        return len(self._offsets)

    def entries(self, first: int, last: int) -> Iterator[IndexEntry]:
        """Yield the candidates with numbers from `first` up to and excluding `last`; numbers begin at 0.

        Raises:
            DatasetError: the file cannot be read any more, or has been changed.
        """
        yield from self.entries_of(range(first, min(last, len(self))))

    def entries_of(self, numbers: Iterable[int]) -> Iterator[IndexEntry]:
        """Yield the candidates with these numbers, in their order.

        Raises:
            DatasetError: as `entries`.
        """
        with open_index(self._path, _ROLE) as file:
            for number in numbers:
                yield self._entry(file, self._offsets[number])

    def repeats_a_name(self, number: int) -> bool:
        """Return whether an earlier candidate has the same base name; the platform compares nothing else."""
        return bool(self._repeats_name[number])

    def _entry(self, file: BinaryIO, offset: np.uint64) -> IndexEntry:
        return line_at(file, int(offset), self._encoding).entry(self._paths)

    def _scan(self, file: BinaryIO, issues: DataIssues) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return offset, hash of the real path and hash of the file name of every line, (L,) uint64 each."""
        # bytearrays: lists of a million int and bytes objects would take five times the memory
        offsets, path_hashes, name_hashes = bytearray(), bytearray(), bytearray()
        file.seek(0)
        for line in index_lines(file, self._path, issues):
            image_path = self._paths.resolve(line.asset)
            offsets += line.offset.to_bytes(8, "little")
            path_hashes += _hash(str(image_path))
            name_hashes += _hash(image_path.name)
        return _as_numbers(offsets), _as_numbers(path_hashes), _as_numbers(name_hashes)


def _as_numbers(column: bytearray) -> np.ndarray:
    return np.frombuffer(column, dtype="<u8")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_HASH_BYTES).digest()


def find_repeats(hashes: np.ndarray, value_of: Callable[[int], Any]) -> np.ndarray:
    """Mark the values that occurred at an earlier position.

    Args:
        hashes: (L,) uint64; equal values have equal hashes, different values nearly always different ones.
        value_of: returns the value at a position; called only where hashes are equal.

    Returns:
        (L,) bool.
    """
    repeats = np.zeros(len(hashes), dtype=bool)
    # stable: of equal hashes, the earliest position comes first. 32-bit positions halve the memory
    order = np.argsort(hashes, kind="stable").astype(np.uint32 if len(hashes) < 1 << 32 else np.uint64)
    in_order = hashes[order]
    same_as_next = np.flatnonzero(in_order[1:] == in_order[:-1])
    del in_order
    first_values: list[Any] = []  # the different values of the current hash: one, unless hashes collide
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
