"""What all kinds of CALD have in common: views of many parts, one detector call per kind of view, one number each."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np

from .augmentations import Augmentation
from .name_seed import rng_for
from .scores import finite_only

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels

logger = logging.getLogger(__name__)

Detect = Callable[[Sequence["Pixels"]], "list[Detections]"]
"""Pictures of any sizes to one `Detections` each, in pixels of the picture that was given."""


class ViewComparison:
    """Compares what is found in the parts of pictures with what is found in altered views of them."""

    def __init__(
        self,
        detect: Detect,
        *,
        augmentations: Sequence[Augmentation],
        select: Callable[[Detections], Detections],
        compare: Callable[[Detections, Detections], float],
        seed: int,
    ) -> None:
        """
        Args:
            detect: called once per augmentation with all views of a chunk; must find the same in a picture whatever its
                neighbours are.
            select: which of the finite boxes of a part are compared, and in which order.
            compare: (those, carried into the frame of the view; what was found in the view) to one number.
            seed: changes where holes are cut, nothing else.
        """
        self._detect = detect
        self._augmentations = augmentations
        self._select = select
        self._compare = compare
        self._seed = seed
        self._has_warned = False

    def values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections]
    ) -> list[np.ndarray | None]:
        """For each part one number per augmentation, in their order; None for a part with nothing to compare.

        At most one altered view of each part is held at a time. Names seed the holes.

        Raises:
            ValueError: the three lists, or what `detect` returns, differ in length.
        """
        if not len(names) == len(parts) == len(found):
            raise ValueError(f"as many of each: {len(names)} names, {len(parts)} parts, {len(found)} references")
        kept = [self._select(self._finite(name, detections)) for name, detections in zip(names, found)]
        shown = [index for index, reference in enumerate(kept) if len(reference)]
        values: list[np.ndarray | None] = [None] * len(names)
        if shown:
            of_shown = [names[i] for i in shown], [parts[i] for i in shown], [kept[i] for i in shown]
            columns = [self._in_one_view(augmentation, *of_shown) for augmentation in self._augmentations]
            for index, numbers in zip(shown, zip(*columns)):
                values[index] = np.array(numbers)
        return values

    def _in_one_view(
        self,
        augmentation: Augmentation,
        names: Sequence[str],
        parts: Sequence[Pixels],
        references: Sequence[Detections],
    ) -> list[float]:
        """One number per part, all with at least one reference box."""
        views, expected = [], []
        for name, part, reference in zip(names, parts, references):
            # a fresh generator each time: no augmentation can shift the random numbers of the next
            view, boxes = augmentation.apply(part, reference.boxes_xyxy, rng_for(name, self._seed))
            views.append(view)
            expected.append(replace(reference, boxes_xyxy=boxes))
        found = self._detect(views)
        if len(found) != len(views):
            raise ValueError(f"{augmentation.name}: the detector answered {len(found)} times for {len(views)} pictures")
        pairs = zip(names, expected, found)
        return [self._compare(reference, self._finite(name, detections)) for name, reference, detections in pairs]

    def _finite(self, name: str, detections: Detections) -> Detections:
        """Without NaN and infinity, which would make a score that cannot be sorted. Warns the first time only."""
        finite = finite_only(detections)
        if len(finite) < len(detections) and not self._has_warned:
            self._has_warned = True
            logger.warning("%s: ignored boxes that are not finite numbers; this is said once, look at the model", name)
        return finite
