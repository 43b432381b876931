"""The key `class_distribution_scores`: how much each class counts, "1.0,1.0,0.1,0.2" in the order of the classes."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from ..errors import ConfigError, briefly

KEY = "class_distribution_scores"


def read_class_weights(text: str, class_names: Sequence[str]) -> np.ndarray:
    """(K,) float64; classes at the end that the text does not reach have 1.0, as all have in an empty text.

    Raises:
        ConfigError: more numbers than classes, or something that is not a number of 0 or more.
    """
    entries = text.split(",") if text.strip() else []
    if len(entries) > len(class_names):
        raise ConfigError(
            f"config.yaml: {KEY}: {len(entries)} numbers in {briefly(text)}, but the model has {len(class_names)} "
            f"classes ({', '.join(class_names)}); give at most one number for each"
        )
    weights = np.ones(len(class_names))
    weights[: len(entries)] = [_weight(entry, text) for entry in entries]
    return weights


def _weight(entry: str, text: str) -> float:
    try:
        weight = float(entry)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0.0):
        raise ConfigError(
            f"config.yaml: {KEY}: expected numbers of 0 or more with commas between, found {briefly(entry.strip())} in "
            f"{briefly(text)}; correct it or leave the field empty"
        )
    return weight
