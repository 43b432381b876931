"""Diversity: which images are near-duplicates of a better one, to be mined after all that are not.

Letters: M images in the order of their scores, C entries of an embedding.
"""

from __future__ import annotations

import numpy as np

from ..detections import ImageDenseOutputs

EMBEDDING_LEVEL = 2
"""P5 of a pyramid that begins with P3: the coarsest level that the backbone's last stage feeds through the pyramid. P6
and P7 are convolutions on top of that stage, trained only for large boxes."""
_BLOCK = 256  # embeddings per matrix product: 5000 images are compared in less than a second


def extract_embedding(outputs: ImageDenseOutputs) -> np.ndarray:
    """Return (C,) float32 of length 1: the mean over all places of one feature level.

    The last level where the pyramid has fewer than EMBEDDING_LEVEL + 1. Zeros, at distance 1 from everything, where the
    features are zero or not finite numbers.
    """
    features = outputs.features[min(EMBEDDING_LEVEL, len(outputs.features) - 1)]
    mean: np.ndarray = features.float().mean(dim=(1, 2)).double().cpu().numpy()  # (C, h, w) -> (C,)
    return unit(mean).astype(np.float32)


def unit(vector: np.ndarray) -> np.ndarray:
    """Return a vector (C,) float64 divided by its length; zeros where the length is 0 or not a finite number."""
    length = float(np.linalg.norm(vector))
    return vector / length if 0.0 < length < np.inf else np.zeros_like(vector)


def near_duplicate_mask(embeddings: np.ndarray, min_distance: float) -> np.ndarray:
    """Return which images are nearer than a distance to a better one that is not itself a near-duplicate.

    Args:
        embeddings: (M, C) float32 of length 1, the best score first. M may be 0.
        min_distance: cosine distance, 1 - cosine, in [0, 2]. At 0 there are no near-duplicates, not even copies.

    Returns:
        (M,) bool. Never the first. Images are compared only with those that are kept, in blocks: at most M^2 / 2
        products of length C.
    """
    count = len(embeddings)
    is_kept = np.ones(count, dtype=bool)
    for start in range(0, count if min_distance > 0 else 0, _BLOCK):
        block = embeddings[start : start + _BLOCK]  # (b, C)
        # the most similar of the images kept before this block; -1, opposite, while there is none
        similarity = np.max(block @ embeddings[:start][is_kept[:start]].T, axis=1, initial=-1.0)  # (b,)
        is_kept[start : start + _BLOCK] = _keep_within_block(block, 1.0 - similarity >= min_distance, min_distance)
    return ~is_kept


def _keep_within_block(block: np.ndarray, is_free: np.ndarray, min_distance: float) -> np.ndarray:
    """(b,) which images of a block are kept, given which are far enough from all that were kept before it."""
    is_near = 1.0 - block @ block.T < min_distance  # (b, b)
    is_kept = is_free.copy()
    # in order, best first: an image that is dropped itself must not drop others
    for position in range(len(block)):
        if is_kept[position]:
            is_kept[position + 1 :] &= ~is_near[position, position + 1 :]
    return is_kept
