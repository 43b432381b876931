"""training-statistics.json: what mining may know of the training set and of how well each class was learned.

    {"version": 1, "images": 1204, "images_without_objects": 310,
     "classes": [{"name": "cat", "boxes": 731, "images": 402, "ap50": 0.61}, ...],
     "feature": "peaks, 64", "feature_dim": 64, "features": "<base64 of int8>"}

It travels with the weights of the best stage, from which it was computed. What a model of another origin has in its
place is refused in one sentence, and mining goes on without.

Letters: K classes, M features of training images, D entries of a feature.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Annotated, Literal

from ..array_text import array_to_text, text_to_array
from .result_file import Count, Name, Part, Rate, parse_result_file

MOST_FEATURES = 8192
_MOST_DIM = 64
_MOST_CLASSES = 20_000
_MOST_CHARS = -(-MOST_FEATURES * _MOST_DIM // 3) * 4  # of base64: 0.7 MB
_MOST_BYTES = 16 << 20


class ClassStatistics(Part):
    """One class of the model."""

    name: Name
    boxes: Count
    """Labelled, in the training set."""
    images: Count
    """With at least one of them."""
    ap50: Optional[Rate] = None
    """On the validation set; None: it has no box of this class."""


class TrainingStatistics(Part):
    """The content of the file."""

    version: Literal[1] = 1
    images: Count
    """Of the training set."""
    images_without_objects: Count
    classes: Annotated[List[ClassStatistics], Field(max_length=_MOST_CLASSES)]
    feature: Name = ""
    """Name of the computation; features of another one are not comparable."""
    feature_dim: Annotated[int, Field(ge=1, le=_MOST_DIM)] = 1
    """D."""
    features: Annotated[str, Field(max_length=_MOST_CHARS)] = ""
    """Of what the network sees in training images, which are evenly spaced in the set; '': not computed."""

    @model_validator(mode="after")
    def _has_whole_features(self) -> TrainingStatistics:
        if len(text_to_array(self.features, np.int8)) % self.feature_dim:
            raise ValueError("features are not of the stated length")
        return self

    def feature_matrix(self, feature: str) -> np.ndarray:
        """Return the features (M, D) int8; M is 0 if they are of another computation than `feature`."""
        text = self.features if self.feature == feature else ""
        return text_to_array(text, np.int8).reshape(-1, self.feature_dim)


def summarise_training(
    class_names: Sequence[str], *, boxes_per_class: Sequence[int], images_per_class: Sequence[int],
    ap50_per_class: Sequence[float], images: int, images_without_objects: int,
    features: np.ndarray | None = None, feature_name: str = "",
) -> TrainingStatistics:  # fmt: skip
    """Return the statistics of a training.

    Args:
        class_names: K names.
        boxes_per_class, images_per_class: (K,) of the training set.
        ap50_per_class: (K,) in [0, 1] on the validation set, of the best stage; NaN: it has no box of the class.
        images: of the training set.
        images_without_objects: of these.
        features: (M, D) int8 of training images, by the best stage, M at most MOST_FEATURES; None: not computed.
        feature_name: of their computation.
    """
    rows = zip(class_names, boxes_per_class, images_per_class, map(float, ap50_per_class))
    classes = [
        ClassStatistics(name=name, boxes=int(boxes), images=int(shown), ap50=None if math.isnan(ap50) else ap50)
        for name, boxes, shown, ap50 in rows
    ]
    vectors = np.zeros((0, 1), dtype=np.int8) if features is None else features
    return TrainingStatistics(
        images=images, images_without_objects=images_without_objects, classes=classes, feature=feature_name,
        feature_dim=vectors.shape[1], features=array_to_text(vectors),
    )  # fmt: skip


def read_training_statistics(path: Path) -> TrainingStatistics:
    """Read a file that may come from anywhere.

    Raises:
        ExecutorError: it cannot be read, or holds something else.
    """
    return parse_result_file(path, TrainingStatistics, _MOST_BYTES)
