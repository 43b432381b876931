"""Rounds of active learning put together to curves, algorithm by algorithm and seed by seed."""

from __future__ import annotations

from typing import Callable, Sequence

import numpy as np

from benchmarks.chance import PLAIN, STRATIFIED
from benchmarks.learning_rounds import FIRST, Round
from benchmarks.learning_statistics import Interval, Statistic, area_over_chance, bootstrap

CHANCES = (PLAIN, STRATIFIED)


class Curves:
    """The curves that are complete: rounds 0 to the last one of the experiment."""

    def __init__(self, rounds: Sequence[Round]) -> None:
        by_key = {(one.algorithm, one.seed, one.round): one for one in rounds}
        self.last_round = max((one.round for one in rounds), default=0)
        self._by_algorithm: dict[str, dict[int, list[Round]]] = {}
        for algorithm, seed, number in by_key:
            keys = [(FIRST, seed, 0), *((algorithm, seed, later) for later in range(1, self.last_round + 1))]
            if number == self.last_round > 0 and all(key in by_key for key in keys):
                self._by_algorithm.setdefault(algorithm, {})[seed] = [by_key[key] for key in keys]

    @property
    def algorithms(self) -> list[str]:
        """Those with a complete curve: the one with the largest area over plain chance first, chance last."""

        def area(name: str) -> float:
            figure = self.against(PLAIN, area_over_chance, name)
            return figure.value if figure else float("-inf")

        others = [name for name in self._by_algorithm if name not in CHANCES]
        return [*sorted(others, key=area, reverse=True), *(name for name in CHANCES if name in self._by_algorithm)]

    @property
    def labels(self) -> list[int]:
        """Images labelled after each round."""
        curve = next((curve for seeds in self._by_algorithm.values() for curve in seeds.values()), [])
        return [len(one.labelled) for one in curve]

    @property
    def classes(self) -> list[str]:
        """Class names, that in the fewest of the labelled images first."""
        last = [one for seeds in self._by_algorithm.values() for *_, one in seeds.values()]
        known = {name for one in last for name in (*one.ap50_by_class, *one.images_by_class)}
        return sorted(known, key=lambda name: (sum(one.images_by_class.get(name, 0) for one in last), name))

    def of(self, algorithm: str) -> dict[int, list[Round]]:
        """Return seed -> rounds."""
        return self._by_algorithm.get(algorithm, {})

    def values(self, algorithm: str, value: Callable[[Round], float]) -> np.ndarray:
        """Return (S, R) values, seeds in rising order."""
        return np.array([[value(one) for one in curve] for _, curve in sorted(self.of(algorithm).items())])

    def added(self, algorithm: str, value: Callable[[Round], float]) -> float:
        """Return how much a figure has grown since round 0, mean over the seeds."""
        values = self.values(algorithm, value)
        return float((values[:, -1] - values[:, 0]).mean())

    def share_of_added(self, algorithm: str, count: Callable[[Round], float]) -> float:
        """Return the share of the images labelled after round 0 that `count` counts."""
        return self.added(algorithm, count) / self.added(algorithm, images)

    def against(self, chance: str, statistic: Statistic, algorithm: str) -> Interval | None:
        """Return a statistic with its interval over the seeds that both have; None without a common seed."""
        common = sorted(set(self.of(algorithm)) & set(self.of(chance)))
        if not common or algorithm == chance:
            return None
        own, other = (np.array([[one.ap50 for one in self.of(name)[seed]] for seed in common])
                      for name in (algorithm, chance))  # fmt: skip
        return bootstrap(statistic, own, other)


def images(one: Round) -> float:
    """Count the images labelled."""
    return len(one.labelled)


def boxes(one: Round) -> float:
    """Count the boxes drawn."""
    return one.boxes


def empty_images(one: Round) -> float:
    """Count the images that were shown for nothing."""
    return one.empty_images


def near_copies(one: Round) -> float:
    """Count the images that resemble one labelled before."""
    return one.near_copies


def images_of(class_name: str) -> Callable[[Round], float]:
    """Return what counts the images that show a class."""
    return lambda one: one.images_by_class.get(class_name, 0)


def ap50_of(class_name: str) -> Callable[[Round], float]:
    """Return what gives the AP50 of a class: NaN where the validation images do not show it."""
    return lambda one: one.ap50_by_class.get(class_name, float("nan"))
