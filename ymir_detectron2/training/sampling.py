"""Which pictures make up which step: an endless shuffled stream, cut into batches of like shape, split over processes.

The stream is a function of the seed alone, so that any step can be reached again by counting.
"""

from __future__ import annotations

import itertools
from typing import Iterator, NamedTuple

import numpy as np

from ..dataset.coco_json import CocoDataset
from ..errors import ConfigError
from ..retinanet.config import Config


class Draw(NamedTuple):
    """One use of one picture."""

    picture: int
    """Position in the dataset."""
    number: int
    """How many draws came before in the whole run: with the seed, it fixes the augmentation of this draw."""


class BatchStream:
    """Endless batches of draws for one process of a run."""

    def __init__(
        self, cfg: Config, dataset: CocoDataset, *, seed: int, rank: int, world_size: int, first: int = 0
    ) -> None:
        """
        Args:
            rank, world_size: this process and how many share each batch.
            first: how many batches were used up before; they are counted through, so that the pictures that wait for
                others of their shape wait again.

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
        self._repeats = _repeat_factors(cfg, dataset)[self._indexes]
        wide = dataset.image_hw[:, 1] > dataset.image_hw[:, 0]
        self._shape_group = wide if cfg["DATALOADER.ASPECT_RATIO_GROUPING"] else np.zeros(len(dataset), dtype=bool)

    def __iter__(self) -> Iterator[list[Draw]]:
        """This process's part of each batch. All pictures of a batch are wide, or none is: padding stays small."""
        return itertools.islice(self._batches(), self._first, None)

    def _batches(self) -> Iterator[list[Draw]]:
        waiting: dict[bool, list[Draw]] = {False: [], True: []}
        for draw in map(Draw, self._shuffled(), itertools.count()):
            group = waiting[bool(self._shape_group[draw.picture])]
            group.append(draw)
            if len(group) == self._batch_size:
                yield group[self._rank :: self._world_size]
                group.clear()

    def _shuffled(self) -> Iterator[int]:
        for epoch in itertools.count():
            generator = np.random.default_rng([self._seed, epoch])
            # a picture to be seen 1.3 times per epoch is there once, and a second time with probability 0.3
            whole = np.floor(self._repeats + generator.random(len(self._repeats))).astype(np.int64)
            yield from generator.permutation(np.repeat(self._indexes, whole)).tolist()


def require_even_shares(batch_size: int, world_size: int) -> None:
    """Raise ConfigError when a batch cannot be split evenly over the processes."""
    if batch_size % world_size:
        raise ConfigError(
            f"batch_size {batch_size} cannot be shared by {world_size} processes; use a multiple of {world_size}"
        )


def _repeat_factors(cfg: Config, dataset: CocoDataset) -> np.ndarray:
    """(N,) how often each picture comes per epoch, at least 1.

    Source: LVIS, arXiv 1908.03195, sec. 4, as in detectron2's RepeatFactorTrainingSampler.
    """
    sampler = cfg["DATALOADER.SAMPLER_TRAIN"]
    factors = np.ones(len(dataset))
    if sampler == "TrainingSampler":
        return factors
    if sampler != "RepeatFactorTrainingSampler":
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN: {sampler!r} is not known to the torch engine; write TrainingSampler or"
            " RepeatFactorTrainingSampler, or set engine: detectron2"
        )
    picture_of_box = np.repeat(np.arange(len(dataset)), np.diff(dataset.box_starts))
    pairs = np.unique(np.stack([picture_of_box, dataset.classes], axis=1), axis=0)
    pictures_per_class = np.bincount(pairs[:, 1], minlength=len(dataset.class_names))
    frequency = np.maximum(pictures_per_class, 1) / max(len(dataset), 1)
    wanted = cfg["DATALOADER.REPEAT_THRESHOLD"] / frequency
    class_factors = np.maximum(1.0, np.sqrt(wanted) if cfg["DATALOADER.REPEAT_SQRT"] else wanted)
    np.maximum.at(factors, pairs[:, 0], class_factors[pairs[:, 1]])
    return factors
