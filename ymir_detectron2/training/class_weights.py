"""How much an object of each class counts: the key `class_weights`."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..contract.task import class_key
from ..errors import ConfigError

_LEAST, _MOST = 0.25, 4.0
_MOST_GIVEN = 1000.0  # far beyond what helps; at 1e39 single precision is infinite


def class_weights(text: str, class_names: Sequence[str], boxes_per_class: Sequence[int]) -> list[float] | None:
    """One weight per class; None where all count alike.

    Args:
        text: '', 'auto', or `NAME:WEIGHT` between commas; a class that is not named counts 1.
        boxes_per_class: how many boxes of each class the training set holds.

    Raises:
        ConfigError: a class that the task does not have, or a weight that is no number above 0 and up to 1000.
    """
    if not text:
        return None
    if text == "auto":
        return _by_rarity(boxes_per_class)
    weights = dict.fromkeys(map(class_key, class_names), 1.0)
    for item in text.split(","):
        name, _, number = item.strip().rpartition(":")
        key = class_key(name.strip())
        if key not in weights:
            raise ConfigError(
                f"config.yaml: class_weights: {name.strip()!r} is none of class_names ({', '.join(class_names)});"
                " write NAME:WEIGHT between commas, or auto"
            )
        weights[key] = _number(item, number)
    return [weights[class_key(name)] for name in class_names]


def _by_rarity(boxes_per_class: Sequence[int]) -> list[float]:
    """The square root of how much rarer a class is than the middle one, between 1/4 and 4; 1 for one without a box."""
    counts = np.asarray(boxes_per_class, dtype=np.float64)
    present = counts > 0
    weights = np.ones(len(counts))
    if present.any():
        weights[present] = np.clip(np.sqrt(np.median(counts[present]) / counts[present]), _LEAST, _MOST)
    return [float(weight) for weight in weights]


def _number(item: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= _MOST_GIVEN:
        raise ConfigError(
            f"config.yaml: class_weights: {item.strip()!r} needs a number above 0 and up to {_MOST_GIVEN:g} behind the"
            " colon"
        )
    return weight
