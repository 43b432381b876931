"""Which images make up which step: an endless shuffled stream, cut into batches of similar shape, split over processes.

The stream is a function of the seed only, so that a resumed training can reach any step by counting.
"""

from __future__ import annotations

import itertools
from typing import Iterator, NamedTuple

import numpy as np

from ..config.retinanet_config import RetinaNetConfig
from ..dataset.coco_json import IGNORED, CocoDataset
from ..errors import ConfigError


class SampleIndex(NamedTuple):
    """One draw of one image."""

    image: int
    """Position in the dataset."""
    draw: int
    """How many draws came before in the whole run: with the seed, it determines the augmentation."""


class InfiniteBatchSampler:
    """Endless batches of samples for one process of a run."""

    def __init__(
        self, cfg: RetinaNetConfig, dataset: CocoDataset, *, seed: int, rank: int, world_size: int, first: int = 0
    ) -> None:
        """
        Args:
            rank, world_size: this process, and how many share each batch.
            first: how many batches were used before a restart.

        Raises:
            ConfigError: the batch cannot be split evenly.
        """
        self._batch_size = cfg["SOLVER.IMS_PER_BATCH"]
        require_even_shares(self._batch_size, world_size)
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._first = first
        counts = np.diff(dataset.box_starts)
        filter_empty = cfg["DATALOADER.FILTER_EMPTY_ANNOTATIONS"]
        self._indexes = np.flatnonzero(counts > 0) if filter_empty else np.arange(len(dataset))
        # a tile without objects, of which a pass draws a share, may come less than once
        draws = np.ones(len(dataset)) if dataset.draws is None else dataset.draws
        self._repeats = (draws * _repeat_factors(cfg, dataset, draws))[self._indexes]
        is_wide = dataset.image_hw[:, 1] > dataset.image_hw[:, 0]
        self._shape_group = is_wide if cfg["DATALOADER.ASPECT_RATIO_GROUPING"] else np.zeros(len(dataset), dtype=bool)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        """Yield this process's share of each batch, whose images are all wide or all not: little padding."""
        # used batches are counted through, not jumped over: images still waiting for a batch of their shape wait again
        return itertools.islice(self._batches(), self._first, None)

    def _batches(self) -> Iterator[list[SampleIndex]]:
        # every process shuffles the whole set, so that all agree on the batches without talking to each other
        waiting: dict[bool, list[SampleIndex]] = {False: [], True: []}
        for index in map(SampleIndex, self._shuffled(), itertools.count()):
            group = waiting[bool(self._shape_group[index.image])]
            group.append(index)
            if len(group) == self._batch_size:
                yield group[self._rank :: self._world_size]
                group.clear()

    def _shuffled(self) -> Iterator[int]:
        for epoch in itertools.count():
            generator = np.random.default_rng([self._seed, epoch])
            # a repeat factor of 1.3: once per epoch, and a second time with probability 0.3; of 0.3: once at most
            repeats = np.floor(self._repeats + generator.random(len(self._repeats))).astype(np.int64)
            yield from generator.permutation(np.repeat(self._indexes, repeats)).tolist()


def require_even_shares(batch_size: int, world_size: int) -> None:
    """Raise ConfigError if a batch cannot be split evenly over the processes."""
    if batch_size % world_size:
        raise ConfigError(
            f"batch_size {batch_size} cannot be shared by {world_size} processes; use a multiple of {world_size}"
        )


def _repeat_factors(cfg: RetinaNetConfig, dataset: CocoDataset, draws: np.ndarray) -> np.ndarray:
    """Return (N,) how much more often each of the N images comes per epoch because of its classes, at least 1.

    Args:
        draws: (N,) how often it comes without that.

    Source: LVIS, arXiv 1908.03195, sec. 4, as in detectron2's RepeatFactorTrainingSampler.
    """
    factors = np.ones(len(dataset))
    if cfg["DATALOADER.SAMPLER_TRAIN"] == "TrainingSampler":
        return factors
    image_of_box = np.repeat(np.arange(len(dataset)), np.diff(dataset.box_starts))
    pairs = np.stack([image_of_box, dataset.classes], axis=1)[dataset.classes != IGNORED]
    pairs = np.unique(pairs, axis=0)  # (image, class), each once
    images_per_class = np.bincount(pairs[:, 1], weights=draws[pairs[:, 0]], minlength=len(dataset.class_names))
    # at least one image: a class without any would divide by 0, and repeats nothing
    frequency = np.maximum(images_per_class, 1) / max(draws.sum(), 1)
    rarity = cfg["DATALOADER.REPEAT_THRESHOLD"] / frequency
    class_factors = np.maximum(1.0, np.sqrt(rarity) if cfg["DATALOADER.REPEAT_SQRT"] else rarity)
    np.maximum.at(factors, pairs[:, 0], class_factors[pairs[:, 1]])  # an image follows its rarest class
    return factors
