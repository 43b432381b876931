"""Near copies among images: frames of one scene, boards of one layout. To see what an algorithm spends labels on."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import cv2
import numpy as np

ALIKE = 0.95
"""Correlation of two thumbnails from which on images count as near copies."""
_SIDE = 16  # pixels: shifts of a few pixels hardly show, other scenes do


class NearCopies:
    """Thumbnails of a pool, to be compared."""

    def __init__(self, images: Sequence[Path]) -> None:
        """Read the images.

        Args:
            images: files that OpenCV reads, with unique names.
        """
        self._places = {image.name: place for place, image in enumerate(images)}
        self._thumbnails = np.stack([_thumbnail(image) for image in images])

    def count(self, names: Sequence[str]) -> int:
        """Count the images that resemble one before them in the list."""
        chosen = self._thumbnails[[self._places[name] for name in names]]
        alike = np.tril(chosen @ chosen.T >= ALIKE, k=-1)  # each with those before it
        return int(alike.any(axis=1).sum())


def _thumbnail(image: Path) -> np.ndarray:
    """Return (256,) float32 of mean 0 and length 1, so that a dot product is a correlation; zeros for a plain image."""
    grey = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError(f"{image}: OpenCV cannot read it")
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    centred: np.ndarray = small - small.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-6)
