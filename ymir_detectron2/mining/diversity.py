"""Diversity: which pictures look so much like a better one that they are to wait behind all that do not.

Letters: M pictures in the order of their scores, C entries of an embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..engines.base import DenseView

EMBEDDING_LEVEL = 2
"""P5 of a pyramid that begins with P3: the coarsest level that the backbone's last stage feeds through the pyramid. P6
and P7 are convolutions on top of that stage, trained for large boxes alone."""
_BLOCK = 256


def read_embedding(view: DenseView) -> np.ndarray:
    """(C,) float32 of length 1: the mean over all places of one feature level, as a reading of `Detector`.

    The last level where the pyramid has fewer than EMBEDDING_LEVEL + 1. Zeros, at distance 1 from everything, where the
    features are zero or no finite numbers.
    """
    features = view.features[min(EMBEDDING_LEVEL, len(view.features) - 1)]
    mean: np.ndarray = features.float().mean(dim=(1, 2)).double().cpu().numpy()
    length = float(np.linalg.norm(mean))
    unit = mean / length if 0.0 < length < np.inf else np.zeros_like(mean)
    return unit.astype(np.float32)


def resembles_a_better_one(embeddings: np.ndarray, min_distance: float) -> np.ndarray:
    """Which pictures lie nearer than a distance to a better one that does not itself resemble a better one.

    Args:
        embeddings: (M, C) float32 of length 1, the best score first. M may be 0.
        min_distance: cosine distance, 1 - cosine, in [0, 2]. At 0 none resembles another.

    Returns:
        (M,) bool. Never the first. Pictures are compared with those that are kept alone, in blocks: that is M products
        of length C for each of them.
    """
    count = len(embeddings)
    is_kept = np.ones(count, dtype=bool)
    for start in range(0, count if min_distance > 0 else 0, _BLOCK):
        block = embeddings[start : start + _BLOCK]
        nearest = _largest_cosine(block, embeddings[:start][is_kept[:start]])
        is_kept[start : start + _BLOCK] = _kept_of_block(block, 1.0 - nearest >= min_distance, min_distance)
    return ~is_kept


def _largest_cosine(block: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(b,) of each picture of a block and the kept one that is most similar; -1 if none is kept yet."""
    largest: np.ndarray = np.max(block @ kept.T, axis=1, initial=-1.0)
    return largest


def _kept_of_block(block: np.ndarray, is_free: np.ndarray, min_distance: float) -> np.ndarray:
    """(b,) which pictures of a block stay, given which are far enough from all that were kept before it."""
    is_near = 1.0 - block @ block.T < min_distance  # (b, b)
    is_kept = is_free.copy()
    for position in range(len(block)):
        if is_kept[position]:
            is_kept[position + 1 :] &= ~is_near[position, position + 1 :]
    return is_kept
