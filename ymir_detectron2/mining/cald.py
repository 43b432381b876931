"""CALD, consistency-based active learning: score an image by how consistently its objects are detected again in
augmented copies of it.

Yu et al., "Consistency-based Active Learning for Object Detection", arXiv 2103.10374; the definition and where it
departs from the authors' code are in docs/mining.md, the arithmetic is in `scores.py`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Iterator, NamedTuple, Sequence, Tuple

import numpy as np

from ..detections import Detections, Pixels
from .algorithms import Algorithm
from .augmentations import AUGMENTATIONS, Augmentation
from .explanation import ExplainedBox, Explanation
from .scores import BoxMatches, consistency, distinct_best_first, evenly_thinned, finite_only, match_boxes
from .seeding import rng_for

logger = logging.getLogger(__name__)


class AugmentedTile(NamedTuple):
    """What a tile is compared by under one augmentation."""

    references: Detections
    """n >= 1 boxes of the plain tile, carried into the frame of the augmented one."""
    detections: Detections
    """m >= 0 finite ones in the augmented tile."""


class TileEvidence(NamedTuple):
    """A tile with at least one reference box, for an explanation."""

    references: Detections
    """In pixels of the tile."""
    augmented: Sequence[AugmentedTile]
    """One per augmentation."""
    consistencies: np.ndarray
    """(4,), one per augmentation."""


class Cald(Algorithm):
    """See `Algorithm`. Scores in [-1, 0]; the least consistent images are mined first.

    Needs `detect`, which is called once per augmentation with the augmented tiles of a whole chunk; it must predict
    the same for an image whatever else is in the batch. `seed` changes where holes are cut, nothing else.
    """

    augmentations: Sequence[Augmentation] = AUGMENTATIONS
    score_without_detections = 0.0
    """The highest score there is: an image without detections is mined first, as in the authors' code."""
    _has_warned = False

    def select_references(self, detections: Detections) -> Detections:
        """Return which of the finite detections of a tile are compared, and in which order."""
        # copies first: they would change which ranks the thinning keeps
        return evenly_thinned(distinct_best_first(detections))

    def compare(self, references: Detections, augmented: Detections) -> float:
        """Return the consistency of one augmented tile.

        Args:
            references: n >= 1 boxes of the plain tile, carried into the frame of the augmented one.
            augmented: detections in the augmented tile.
        """
        return consistency(references, augmented)

    def match(self, references: Detections, augmented: Detections) -> BoxMatches:
        """Return the comparison of each box from which `compare` makes its number; neither side is empty."""
        return match_boxes(references, augmented)

    def reduce(self, tile_scores: np.ndarray) -> float:
        """Return the score of an image from the (t, 4) consistencies of its t >= 1 tiles."""
        least = np.min(tile_scores, axis=0)  # (t, 4) -> (4,): the tile that survives an augmentation worst decides
        return 0.0 - float(np.mean(least))  # 0.0 - 0.0 is 0.0, while -(0.0) prints as -0.0

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return `reduce` of the tiles with detections, or `score_without_detections`."""
        compared = [scores for scores in tile_scores if scores is not None]
        return self.reduce(np.stack(compared)) if compared else self.score_without_detections

    def score_tiles(
        self,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        detections: Sequence[Detections],
        extracted: Sequence[Any],
    ) -> list[Any]:
        """Return the consistencies (4,) of each tile, one per augmentation; None for a tile without detections.

        Raises:
            ValueError: the lists, or what `detect` returns, differ in length.
        """
        return [score for score, _ in self.explain_tiles(names, tiles, detections, extracted)]

    def explain_tiles(
        self,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        detections: Sequence[Detections],
        extracted: Sequence[Any],
    ) -> list[Tuple[Any, Any]]:
        """Return the consistencies of each tile with its `TileEvidence`; None and None without detections."""
        if not len(names) == len(tiles) == len(detections):
            raise ValueError(
                f"as many of each: {len(names)} names, {len(tiles)} tiles, {len(detections)} detections of tiles"
            )
        references = [self.select_references(self._finite(name, boxes)) for name, boxes in zip(names, detections)]
        # a tile without detections needs no further forward pass: there is nothing to compare
        compared = [index for index, boxes in enumerate(references) if len(boxes)]
        explained: list[Tuple[Any, Any]] = [(None, None)] * len(names)
        if compared:
            # one augmentation after the other, so that at most one augmented copy of each tile is in memory
            columns = [
                self._augment(
                    augmentation,
                    [names[i] for i in compared],
                    [tiles[i] for i in compared],
                    [references[i] for i in compared],
                )
                for augmentation in self.augmentations
            ]
            for index, augmented in zip(compared, zip(*columns)):
                consistencies = np.array([self.compare(*tile) for tile in augmented])
                explained[index] = consistencies, TileEvidence(references[index], augmented, consistencies)
        return explained

    def _augment(
        self,
        augmentation: Augmentation,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        references: Sequence[Detections],
    ) -> list[AugmentedTile]:
        """Detect again in a copy of each tile, all with at least one reference box, under one augmentation."""
        augmented_tiles, expected = [], []
        for name, tile, reference in zip(names, tiles, references):
            # a fresh generator each time: no augmentation can shift the random numbers of the next
            augmented, boxes = augmentation.apply(tile, reference.boxes_xyxy, rng_for(name, self.seed))
            augmented_tiles.append(augmented)
            expected.append(replace(reference, boxes_xyxy=boxes))
        assert self.detect is not None  # the table says that this algorithm needs images, and so a detector
        detections = self.detect(augmented_tiles)
        if len(detections) != len(augmented_tiles):
            raise ValueError(
                f"{augmentation.name}: the detector answered {len(detections)} times for {len(augmented_tiles)} images"
            )
        return [
            AugmentedTile(reference, self._finite(name, augmented))
            for name, reference, augmented in zip(names, expected, detections)
        ]

    def explain_image(self, detections: Detections, evidence: Sequence[Any]) -> Explanation:
        """Return the consistency under each augmentation, with the box and match that decided it."""
        tiles = [(number, tile) for number, tile in enumerate(evidence) if tile is not None]
        if not tiles:
            return Explanation()
        facts: list[tuple[str, float]] = []
        boxes: list[ExplainedBox] = []
        for position, augmentation in enumerate(self.augmentations):
            number, tile = self.deciding_tile(tiles, position)
            facts.append((augmentation.name, float(tile.consistencies[position])))
            boxes += self._deciding_boxes(augmentation, number, tile, tile.augmented[position])
        return Explanation(facts, boxes)

    def deciding_tile(self, tiles: Sequence[tuple[int, TileEvidence]], position: int) -> tuple[int, TileEvidence]:
        """Return the tile, with its number, that decides under the augmentation at a position; see `reduce`."""
        return min(tiles, key=lambda tile: float(tile[1].consistencies[position]))

    def _deciding_boxes(
        self, augmentation: Augmentation, number: int, tile: TileEvidence, augmented: AugmentedTile
    ) -> Iterator[ExplainedBox]:
        """Yield the reference box that decided, then its match; only the surest one where nothing was detected."""
        value = float(self.compare(*augmented))
        if not len(augmented.detections):
            yield _explained(tile.references, int(np.argmax(tile.references.scores)), number, value)
            return
        matched = self.match(*augmented)
        k = int(np.argmin(matched.differences))
        j = int(matched.matches[k])
        yield _explained(tile.references, k, number, value)
        carried = augmentation.carry_back(
            matched.augmented.boxes_xyxy[j], augmented.references.boxes_xyxy[k], tile.references.boxes_xyxy[k]
        )
        match = _explained(matched.augmented, j, number, float(matched.ious[k]))
        yield match._replace(box_xyxy=carried, augmentation=augmentation.name)

    def _finite(self, name: str, detections: Detections) -> Detections:
        """Drop NaN and infinity, which would make a score that cannot be sorted. Warns the first time only."""
        finite = finite_only(detections)
        if len(finite) < len(detections) and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: ignored boxes that are not finite numbers; reported once; check the model", name
            )
        return finite


def _explained(detections: Detections, index: int, tile: int, value: float) -> ExplainedBox:
    return ExplainedBox(
        np.asarray(detections.boxes_xyxy[index], dtype=np.float64), tile, int(detections.classes[index]),
        float(detections.scores[index]), value,
    )  # fmt: skip
