"""Why an image has its score: the boxes that decided and what each contributed, for people who read a ranking."""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import numpy as np

WHOLE_IMAGE = -1


class ExplainedBox(NamedTuple):
    """A box that took part in the score."""

    box_xyxy: np.ndarray
    """(4,) x1 y1 x2 y2 in pixels of its tile as the network got it, or of the original image."""
    tile: int
    """Position among the tiles of the image; WHOLE_IMAGE: pixels of the original image."""
    class_id: int
    score: float
    value: float
    """Its own contribution, in the unit of the algorithm."""
    augmentation: str = ""
    """The augmented copy in which it was detected, carried back; '': detected in the image itself."""
    class_probs: Sequence[Tuple[int, float]] = ()
    """The most probable classes with their probabilities, where they decide."""


class Explanation(NamedTuple):
    """What an algorithm says of its score of one image."""

    facts: Sequence[Tuple[str, float]] = ()
    """Parts of the score by name, e.g. of each augmentation."""
    boxes: Sequence[ExplainedBox] = ()


class ClassPart(NamedTuple):
    """What one class adds to the gain of an image."""

    class_id: int
    evidence: float
    """How much the image seems to hold of it, in the unit of the algorithm."""
    weight: float
    before: float
    """How much of it was labelled or chosen before, in the same unit."""
    gain: float
    """The part of the gain."""


class ScoreParts(NamedTuple):
    """What made the score of an image whose rank depends on those before it; known when it is chosen."""

    gain: float
    """Of the image, before it is lowered for what it resembles."""
    novelty: float | None
    """Factor in [0, 1] by which the gain counts; None: there was nothing to compare the image with."""
    nearest: int | None
    """Number of the candidate chosen before that it resembles most; None: a labelled image, or nothing."""
    nothing_found: bool
    """No box has a score above `conf_threshold`."""
    classes: Sequence[ClassPart]
    """The largest gain first."""
    before_total: float
    """Of `before` over all classes of the detector."""
