"""The setting `empty_share`: how many of the images that a training draws show no object."""

from __future__ import annotations

import numpy as np

from ..dataset.coco_json import IGNORED, CocoDataset


def with_empty_share(dataset: CocoDataset, most: float) -> CocoDataset:
    """Let a pass draw so few of the images without objects that they are at most this share of it.

    Each image with objects is drawn as often as before, and each without one with equal probability: over several
    passes all of them are shown.

    Args:
        dataset: of the training. Boxes that are neither object nor background do not make an object.
        most: in (0, 1]; 1 changes nothing.
    """
    draws = np.ones(len(dataset)) if dataset.draws is None else dataset.draws
    is_object = dataset.classes != IGNORED
    # sums of a running total, not of reduceat, which has no empty groups
    objects = np.diff(np.concatenate([[0], np.cumsum(is_object)])[dataset.box_starts])
    empty, filled = float(draws[objects == 0].sum()), float(draws[objects > 0].sum())
    if not filled or empty <= most * (empty + filled):
        return dataset  # a set without any object keeps its images: there is nothing to be in proportion to
    kept = most * filled / (1 - most) / empty
    return dataset.with_columns(draws=np.where(objects == 0, draws * kept, draws))
