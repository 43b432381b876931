"""Novelty: how far the peaks of an image are from all that are labelled or chosen, by their features.

Letters: n candidates, T peaks of each, M labelled peaks, m peaks that they are compared with, D entries of a feature.

The distance is 1 - cosine to the most similar peak, at most 1. Features are whole numbers (`peaks.as_directions`) with
exact products: a distance depends neither on the library that multiplies nor on its threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BLOCK = 1024  # peaks per matrix product: 32 MB of cosines with 8,192 labelled ones
_ROUNDED = 1e-6  # of a number, more than float32 can be off
_NONE = -1


class _Vectors(NamedTuple):
    rows: np.ndarray
    """(m, D) int8, or the same numbers as float32."""
    lengths: np.ndarray
    """(m,) float64; infinity of zeros, so that their cosines are 0."""

    @classmethod
    def of(cls, rows: np.ndarray) -> _Vectors:
        lengths = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
        return cls(rows, np.where(lengths > 0, lengths, np.inf))

    def take(self, index: slice | np.ndarray) -> _Vectors:
        return _Vectors(self.rows[index], self.lengths[index])

    def most_similar(self, others: _Vectors) -> tuple[np.ndarray, np.ndarray]:
        """Return the cosine (m,), at least 0, with the most similar of the others, of which there is one, and its
        position (m,)."""
        rows, other_rows = (vectors.rows.astype(np.float32, copy=False) for vectors in (self, others))
        scaled = rows @ other_rows.T  # (m, m'), whole numbers, which float32 holds: 64 products of at most 127^2
        scaled *= (1.0 / others.lengths).astype(np.float32)
        cosines, nearest = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
        largest = scaled.max(axis=1)
        for index in np.flatnonzero(largest > 0):
            # the few that are nearest but for rounding, exactly: whatever else was compared with them
            positions = np.flatnonzero(scaled[index] >= largest[index] * (1 - _ROUNDED))
            exact = (other_rows[positions] @ rows[index]).astype(np.float64) / others.lengths[positions]
            nearest[index] = positions[np.argmax(exact)]
            cosines[index] = exact.max() / self.lengths[index]
        return cosines, nearest


class Novelty:
    """The distances of the peaks of n candidates, from 0 to 1, while one after the other is chosen; they only decrease.

    A candidate is compared with the chosen ones only when it is asked for: `distances` are what they were before.
    """

    def __init__(self, features: np.ndarray, labelled: np.ndarray) -> None:
        """
        Args:
            features: (n, T, D) int8 of the candidates; zeros, and all if D is 0, are far from everything.
            labelled: (M, D) int8. M may be 0.
        """
        count, self._num_peaks, dim = features.shape
        self._vectors = _Vectors.of(features.reshape(count * self._num_peaks, dim))
        self._cosines = np.zeros(count * self._num_peaks)  # what is turned away from all is no farther than 1
        self._nearest = np.full(count * self._num_peaks, _NONE)
        # as float32, which each comparison needs; memory is taken as it is filled
        self._chosen = _Vectors(np.empty((count * self._num_peaks, dim), np.float32), np.empty(count * self._num_peaks))
        self._chosen_indexes, self._num_chosen = np.empty(count * self._num_peaks, dtype=np.int64), 0
        self._num_compared = np.zeros(count, dtype=np.int64)
        self._has_labelled = len(labelled) > 0 and dim > 0
        if self._has_labelled:
            others = _Vectors.of(labelled)
            for start in range(0, len(self._cosines), _BLOCK):
                block = slice(start, start + _BLOCK)
                self._cosines[block] = self._vectors.take(block).most_similar(others)[0]
        self.distances = self._distances(slice(0, count))
        """(n, T) upper bounds of the distances; those themselves where `is_current`."""

    def is_current(self, index: int) -> bool:
        """Return whether a candidate was compared with all that are chosen."""
        return bool(self._num_compared[index] == self._num_chosen)

    def update(self, index: int) -> None:
        """Compare a candidate with those that were chosen since it was last compared."""
        peaks = slice(index * self._num_peaks, (index + 1) * self._num_peaks)
        new = slice(int(self._num_compared[index]), self._num_chosen)
        if new.start == new.stop:
            return
        cosines, positions = self._vectors.take(peaks).most_similar(self._chosen.take(new))
        is_nearer = cosines > self._cosines[peaks]
        self._cosines[peaks] = np.where(is_nearer, cosines, self._cosines[peaks])
        self._nearest[peaks] = np.where(is_nearer, self._chosen_indexes[new][positions], self._nearest[peaks])
        self.distances[index] = self._distances(slice(index, index + 1))[0]
        self._num_compared[index] = self._num_chosen

    def choose(self, index: int, counts: np.ndarray) -> None:
        """Compare candidates with some peaks of this one from now on.

        Args:
            counts: (T,) bool, which of them.
        """
        peaks = np.flatnonzero(counts) + index * self._num_peaks
        peaks = peaks[np.isfinite(self._vectors.lengths[peaks])]
        new = slice(self._num_chosen, self._num_chosen + len(peaks))
        self._chosen.rows[new], self._chosen.lengths[new] = self._vectors.take(peaks)
        self._chosen_indexes[new] = index
        self._num_chosen = new.stop

    def has_others(self) -> bool:
        """Return whether there is anything to compare a candidate with."""
        return self._has_labelled or self._num_chosen > 0

    def nearest(self, index: int) -> int | None:
        """Return the chosen candidate with the peak that one of its own resembles most; None: a labelled one, or none
        at all."""
        peaks = slice(index * self._num_peaks, (index + 1) * self._num_peaks)
        found = int(self._nearest[peaks][np.argmax(self._cosines[peaks])])
        return None if found == _NONE else found

    def _distances(self, candidates: slice) -> np.ndarray:
        cosines = self._cosines.reshape(len(self._num_compared), self._num_peaks)[candidates]
        distances: np.ndarray = np.maximum(1.0 - cosines, 0.0)  # a cosine may be rounded above 1
        return distances
