"""The peaks of an image: where the network is most inclined to see an object, how much so, and what it sees there.

Letters: T peaks, K classes, C channels of a pyramid level, h and w its cells, D entries of a feature.

A peak is a cell whose highest class probability is a local maximum among its eight neighbours. There is no threshold of
detections and no NMS: a rare class is seldom predicted with confidence, and it is what is looked for.
"""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple, Sequence

import numpy as np

from ..detections import Detections, ImageDenseOutputs

MOST_PEAKS = 8
"""T at most: the strongest of all levels, and of all tiles."""
LEAST_PROB = 0.005
"""A peak is higher. A network begins with 0.01 everywhere, and learns that most cells have less."""
LABELLED_PROB = 0.05
"""Of a labelled image, what the network has learned to see: peaks that are higher."""
MAX_DIM = 64
"""D at most, whatever the network: 64 bytes on disk."""
NAME = "peaks, 64"
"""Of this computation: features of another name are not compared with its own."""
_LARGEST = 127  # of int8, without -128


class ImagePeaks(NamedTuple):
    """The peaks of one image, the strongest first."""

    probs: np.ndarray
    """(T,) float16 in [0, 1]: probability of the most probable class."""
    class_ids: np.ndarray
    """(T,) uint16: that class."""
    features: np.ndarray
    """(T, D) int8: direction of the feature at the cell, see `as_directions`. D is 0 of networks without score maps."""
    is_finite: bool = True
    """False: there were scores that are not finite numbers, which count as 0."""

    @classmethod
    def none(cls, dim: int = 0) -> ImagePeaks:
        """Return no peaks."""
        return cls(np.zeros(0, np.float16), np.zeros(0, np.uint16), np.zeros((0, dim), np.int8))

    def take(self, index: np.ndarray) -> ImagePeaks:
        """Return the peaks at these positions, or where a mask is True."""
        return self._replace(
            probs=self.probs[index], class_ids=self.class_ids[index], features=self.features[index]
        )


def strongest(peaks: Sequence[ImagePeaks]) -> ImagePeaks:
    """Return the MOST_PEAKS strongest of several levels or tiles, at least one; of equal ones those that come first."""
    together = ImagePeaks(
        np.concatenate([one.probs for one in peaks]),
        np.concatenate([one.class_ids for one in peaks]),
        np.concatenate([one.features for one in peaks]),
        all(one.is_finite for one in peaks),
    )
    return together.take(np.argsort(-together.probs, kind="stable")[:MOST_PEAKS])


def labelled_features(images: Sequence[Sequence[ImagePeaks]], most: int) -> np.ndarray:
    """Return the features of peaks above LABELLED_PROB, (M, D) int8, of labelled images.

    Args:
        images: the peaks of the tiles of each, in the order of the set.
        most: M at most: with more, those of images that are evenly spaced.
    """
    found = [strongest(tiles) for tiles in images]
    found = [peaks.take(peaks.probs > LABELLED_PROB) for peaks in found]
    total = sum(len(peaks.probs) for peaks in found)
    kept = found if total <= most else [found[i] for i in np.arange(0, len(found), total / most).astype(int)]
    features = [peaks.features for peaks in kept if peaks.features.size]  # a network without score maps has none
    return np.concatenate(features)[:most] if features else np.zeros((0, 1), np.int8)


def extract_peaks(outputs: ImageDenseOutputs) -> ImagePeaks:
    """Return the peaks of one tile; see `Algorithm.extract`."""
    return strongest(list(map(_level_peaks, outputs.score_maps, outputs.features)))


def box_peaks(detections: Detections) -> ImagePeaks:
    """Return what a network without score maps has in place of peaks: its boxes, without features."""
    scores = np.asarray(detections.scores)
    is_finite = np.isfinite(scores)
    boxes = ImagePeaks(
        np.where(is_finite, scores, 0.0).astype(np.float16), detections.classes.astype(np.uint16),
        np.zeros((len(scores), 0), np.int8), bool(is_finite.all()),
    )  # fmt: skip
    return strongest([boxes.take(boxes.probs > LEAST_PROB)])


def as_directions(features: np.ndarray) -> np.ndarray:
    """Return the directions of vectors as small whole numbers, (m, C) -> (m, D) int8 with D = min(C, MAX_DIM).

    Each is scaled to a largest entry of 127, which turns it by less than half a degree; zeros where it is zero or not
    finite. Products of such vectors are exact in float32, in whatever order a library adds them up. Wider ones are
    projected by a fixed matrix of random signs first, which keeps their angles (Achlioptas, Database-friendly random
    projections, 2003).
    """
    vectors = np.asarray(features, dtype=np.float64)
    if vectors.shape[1] > MAX_DIM:
        vectors = vectors @ _signs(vectors.shape[1])
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    is_usable = (largest > 0) & np.isfinite(largest)
    scaled = np.divide(vectors, largest, out=np.zeros_like(vectors), where=is_usable)
    directions: np.ndarray = np.rint(_LARGEST * scaled).astype(np.int8)
    return directions


def _level_peaks(maps: object, features: object) -> ImagePeaks:
    """Return the strongest peaks of one pyramid level.

    Args:
        maps: (K, h, w) tensor of probabilities.
        features: (C, h, w) tensor.
    """
    best = maps.amax(dim=0).cpu().numpy()  # type: ignore[attr-defined]  # (h, w)
    is_finite = bool(np.isfinite(best).all())
    best = np.where(np.isfinite(best), best, 0.0)
    rows, columns = np.nonzero(is_local_maximum(best) & (best > LEAST_PROB))
    order = np.argsort(-best[rows, columns], kind="stable")[:MOST_PEAKS]
    rows, columns = rows[order].tolist(), columns[order].tolist()
    # only now, since a level has thousands of cells: (K, T) and (C, T)
    probs, vectors = (tensor[:, rows, columns].float().cpu().numpy() for tensor in (maps, features))  # type: ignore[index]
    class_ids = np.where(np.isfinite(probs), probs, 0.0).argmax(axis=0)
    return ImagePeaks(
        best[rows, columns].astype(np.float16), class_ids.astype(np.uint16), as_directions(vectors.T), is_finite
    )


def is_local_maximum(values: np.ndarray) -> np.ndarray:
    """Return which cells (h, w) bool have no larger neighbour; of equal neighbours only the first in reading order."""
    h, w = values.shape
    padded = np.pad(values, 1, constant_values=-np.inf)
    is_maximum = np.ones((h, w), dtype=bool)
    for y in range(3):
        for x in range(3):
            neighbour = padded[y : y + h, x : x + w]
            if (y, x) < (1, 1):
                is_maximum &= values > neighbour
            elif (y, x) > (1, 1):
                is_maximum &= values >= neighbour
    return is_maximum


@functools.lru_cache(maxsize=1)
def _signs(width: int) -> np.ndarray:
    """(width, MAX_DIM) of -1 and 1, the same on every machine and in every release of NumPy."""
    digest = hashlib.shake_256(NAME.encode("ascii")).digest(width * MAX_DIM // 8)
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8)).reshape(width, MAX_DIM)
    return 2.0 * bits - 1.0
