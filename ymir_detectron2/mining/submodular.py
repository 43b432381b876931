"""A greedy order of images in which every prefix is worth labelling: what is chosen makes the rest worth less.

Letters: n candidates, T peaks of each, K classes, D entries of a feature, M labelled peaks.

Arithmetic only: arrays in, the order out. The gain of a candidate is the sum over its peaks b, of class c,

    w_c p_b d_b / sqrt(1 + T_c),    T_c = N_c + the sum of p over the peaks of class c of all images that are chosen

with d_b the distance to the nearest peak that is labelled or chosen. Neither d_b nor the root can grow with what is
chosen: gains do not increase from one image of the order to the next. Definition and ranges: docs/mining.md.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

import numpy as np

from .explanation import ClassPart, ScoreParts
from .novelty import Novelty

CHOSEN_PROB = 0.02
"""Only peaks that are higher make others less new: below it there is hardly ever an object, and one image has eight."""


class Terms(NamedTuple):
    """Which parts of the formula count, for an ablation."""

    probability: bool = True
    """Off: p_b is 1 for every peak."""
    balance: bool = True
    """Off: without the root; a class counts the same however much of it there is."""
    class_weights: bool = True
    """Off: w_c is 1."""
    novelty: bool = True
    """Off: d_b is 1."""


class Candidates(NamedTuple):
    """What is known of n images; of equal gains, the one that is listed first is chosen first."""

    probs: np.ndarray
    """(n, T) float64 in [0, 1]; 0 behind the last peak of an image."""
    class_ids: np.ndarray
    """(n, T) int64 in [0, K)."""
    features: np.ndarray
    """(n, T, D) int8, see `peaks.as_directions`. D may be 0: nothing is then like anything else."""
    is_empty: np.ndarray
    """(n,) bool: nothing was found, for the explanation only."""


class Labelled(NamedTuple):
    """What is known of the labelled images, and of the model that was trained with them."""

    images: np.ndarray
    """(K,) float64 >= 0: N_c, of those with the class."""
    weights: np.ndarray
    """(K,) float64 > 0: w_c."""
    features: np.ndarray
    """(M, D) int8. M may be 0."""

    def class_factors(self) -> np.ndarray:
        """Return (K,) what a peak of each class counts before anything is chosen: w_c / sqrt(1 + N_c)."""
        factors: np.ndarray = self.weights / np.sqrt(1.0 + self.images)
        return factors


class Pick(NamedTuple):
    """One image of the order."""

    candidate: int
    """Its position, as `parts.nearest` is one."""
    gain: float
    parts: ScoreParts


def greedy_picks(
    candidates: Candidates, labelled: Labelled, later: np.ndarray | None = None, terms: Terms = Terms()  # noqa: B008
) -> Iterator[Pick]:
    """Yield one candidate after the other, each time the one with the largest gain: how many are taken changes nothing.

    Args:
        candidates: n images.
        labelled: with the same classes.
        later: (n,) bool, those that follow when all others are chosen; None: none. Gains do not increase among these,
            nor among the others.
        terms: of the formula.
    """
    gains = _Gains(candidates, labelled, terms)
    later = np.zeros(len(candidates.probs), dtype=bool) if later is None else later
    for is_left in (~later, later.copy()):
        while is_left.any():
            best = _largest(gains, is_left)
            yield Pick(best, float(gains.bounds[best]), gains.parts(best))
            is_left[best] = False
            gains.choose(best)


def _largest(gains: _Gains, is_left: np.ndarray) -> int:
    """Return the candidate with the largest gain; of equal ones, the first.

    What was computed for an earlier choice can only be too large. So most candidates are left alone: only those that
    would be next are computed again, until the first of them stays the first.
    """
    while True:
        best = int(np.argmax(np.where(is_left, gains.bounds, -1.0)))
        if not gains.is_current(best):
            gains.update(np.array([best]))
            # all that may still be larger, at once
            gains.update(np.flatnonzero(is_left & (gains.bounds >= gains.bounds[best])))
        elif not gains.novelty.is_current(best):
            gains.novelty.update(best)
            gains.update(np.array([best]))
        else:
            return best


class _Gains:
    """The gains of all candidates while one after the other is chosen.

    Rounding cannot make one increase: every operation from T_c to the sum keeps the order of its arguments.
    """

    def __init__(self, candidates: Candidates, labelled: Labelled, terms: Terms) -> None:
        dim = candidates.features.shape[2] * terms.novelty
        self.novelty = Novelty(candidates.features[:, :, :dim], labelled.features[:, :dim])
        self._candidates = candidates
        self._probs = candidates.probs if terms.probability else (candidates.probs > 0).astype(np.float64)
        self._weights = labelled.weights if terms.class_weights else np.ones_like(labelled.weights)
        self._has_balance = terms.balance
        self._totals = labelled.images.astype(np.float64)  # (K,) a copy: T_c
        self._num_chosen = 0
        self._computed_after = np.zeros(len(self._probs), dtype=np.int64)
        self.bounds = np.zeros(len(self._probs))
        """(n,) upper bounds of the gains; those themselves where `is_current`, and the novelty is."""
        self.update(np.arange(len(self._probs)))

    def is_current(self, index: int) -> bool:
        return bool(self._computed_after[index] == self._num_chosen)

    def update(self, indexes: np.ndarray) -> None:
        self.bounds[indexes] = (self._without_novelty(indexes) * self.novelty.distances[indexes]).sum(axis=1)
        self._computed_after[indexes] = self._num_chosen

    def choose(self, index: int) -> None:
        np.add.at(self._totals, self._candidates.class_ids[index], self._candidates.probs[index])
        self.novelty.choose(index, self._candidates.probs[index] > CHOSEN_PROB)
        self._num_chosen += 1

    def parts(self, index: int) -> ScoreParts:
        (without,) = self._without_novelty(np.array([index]))  # (T,)
        class_ids, probs = self._candidates.class_ids[index], self._candidates.probs[index]
        classes = [
            ClassPart(
                class_id, float(probs[class_ids == class_id].sum()), float(self._weights[class_id]),
                float(self._totals[class_id]), float(without[class_ids == class_id].sum()),
            )
            for class_id in sorted(set(class_ids[probs > 0].tolist()))
        ]  # fmt: skip
        gain = float(without.sum())
        has_novelty = self.novelty.has_others() and gain > 0
        return ScoreParts(
            gain=gain,
            novelty=min(1.0, float(self.bounds[index]) / gain) if has_novelty else None,
            nearest=self.novelty.nearest(index),
            nothing_found=bool(self._candidates.is_empty[index]),
            classes=sorted(classes, key=lambda part: -part.gain),
            before_total=float(self._totals.sum()),
        )

    def _without_novelty(self, indexes: np.ndarray) -> np.ndarray:
        """(m,) -> (m, T)."""
        factors = self._weights / np.sqrt(1.0 + self._totals) if self._has_balance else self._weights  # (K,)
        gains: np.ndarray = self._probs[indexes] * factors[self._candidates.class_ids[indexes]]
        return gains
