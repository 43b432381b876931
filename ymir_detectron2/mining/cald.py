"""CALD: score a picture by how consistently its objects are found again in four altered views of it.

The definition is in docs/mining.md. This file only carries pictures between the augmentations, the detector and the
arithmetic of `scores.py`; it knows neither files nor torch.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np

from .augmentations import AUGMENTATIONS, Augmentation
from .scores import consistency, distinct_best_first, evenly_thinned, finite_only

if TYPE_CHECKING:
    from ..engines.base import Detections

logger = logging.getLogger(__name__)

NOTHING_FOUND = 0.0
"""The score of a picture without detections. It is the highest there is: such pictures are mined first."""


class Cald:
    """Scores of pictures, highest first to be labelled; each depends on its own picture, name and seed alone."""

    def __init__(self, detect: Callable[[Sequence[np.ndarray]], list[Detections]], *, seed: int = 0) -> None:
        """Make a scorer.

        Args:
            detect: pictures, (H, W, 3) uint8 BGR and of any sizes, to one `Detections` each, in pixels of the picture
                that was given. It is called once per augmentation with all views of a chunk, and must find the same
                in a picture whatever its neighbours are.
            seed: changes where holes are cut, nothing else.
        """
        self._detect = detect
        self._seed = seed
        self._has_warned = False

    def scores(
        self, names: Sequence[str], images: Sequence[np.ndarray], references: Sequence[Detections]
    ) -> list[float]:
        """One score per picture of a chunk.

        Args:
            names: file names, with or without folders; the base name seeds the holes.
            images: (H, W, 3) uint8 BGR each. At most one altered view of each is held at a time.
            references: what the detector finds in the plain pictures.

        Returns:
            For each picture -(mean consistency over the augmentations) in [-1, 0], or NOTHING_FOUND.

        Raises:
            ValueError: if the three lists, or what `detect` returns, differ in length.
        """
        if not len(names) == len(images) == len(references):
            raise ValueError(f"as many of each: {len(names)} names, {len(images)} images, {len(references)} references")
        kept = [self._usable(name, found) for name, found in zip(names, references)]
        shown = [index for index, reference in enumerate(kept) if len(reference)]
        result = [NOTHING_FOUND] * len(names)
        if not shown:
            return result
        shown_names, shown_images = [names[i] for i in shown], [images[i] for i in shown]
        shown_references = [kept[i] for i in shown]
        values = [self._consistencies(a, shown_names, shown_images, shown_references) for a in AUGMENTATIONS]
        for index, of_picture in zip(shown, zip(*values)):
            result[index] = 0.0 - sum(of_picture) / len(AUGMENTATIONS)  # 0.0 - 0.0 is 0.0, while -(0.0) prints as -0.0
        return result

    def _usable(self, name: str, found: Detections) -> Detections:
        return evenly_thinned(distinct_best_first(self._finite(name, found)))

    def _consistencies(
        self,
        augmentation: Augmentation,
        names: Sequence[str],
        images: Sequence[np.ndarray],
        references: Sequence[Detections],
    ) -> list[float]:
        """The consistency of each picture, all with at least one reference box, under one augmentation."""
        views, expected = [], []
        for name, image, reference in zip(names, images, references):
            # a fresh generator each time: no augmentation can shift the random numbers of the next
            view, boxes = augmentation.apply(image, reference.boxes_xyxy, rng_for(name, self._seed))
            views.append(view)
            expected.append(replace(reference, boxes_xyxy=boxes))
        found = self._detect(views)
        if len(found) != len(views):
            raise ValueError(f"{augmentation.name}: the detector answered {len(found)} times for {len(views)} pictures")
        pairs = zip(names, expected, found)
        return [consistency(reference, self._finite(name, detections)) for name, reference, detections in pairs]

    def _finite(self, name: str, detections: Detections) -> Detections:
        """Without NaN and infinity, which would make a score that cannot be sorted. Warns the first time only."""
        finite = finite_only(detections)
        if len(finite) < len(detections) and not self._has_warned:
            self._has_warned = True
            logger.warning("%s: ignored boxes that are not finite numbers; this is said once, look at the model", name)
        return finite


def rng_for(name: str, seed: int) -> np.random.Generator:
    """Random numbers that depend on the base name of a file and on the seed, on no machine, order or process."""
    text = f"{seed}:{PurePosixPath(name).name}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()  # names that are not UTF-8 have surrogates
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
