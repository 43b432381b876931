"""Class weights of the loss: the setting `class_weights`, e.g. `cat:2,dog:0.5` or `auto`."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..contract.task import class_key
from ..errors import ConfigError

_AUTO_MIN, _AUTO_MAX = 0.25, 4.0
_MAX_WEIGHT = 1000.0  # far beyond what helps; at 1e39 single precision is infinite


def class_weights(text: str, class_names: Sequence[str], boxes_per_class: Sequence[int]) -> list[float] | None:
    """Return one weight per class; None if all are equal.

    Args:
        text: '', 'auto', or `NAME:WEIGHT` between commas; a class that is not named gets 1.
        boxes_per_class: number of boxes of each class in the training set.

    Raises:
        ConfigError: a class that the task does not have, or a weight that is not a number above 0 and up to 1000.
    """
    if not text:
        return None
    if text == "auto":
        return _by_frequency(boxes_per_class)
    weights = dict.fromkeys(map(class_key, class_names), 1.0)
    for item in text.split(","):
        name, _, number = item.strip().rpartition(":")  # the last colon: a class name may have one too
        key = class_key(name.strip())
        if key not in weights:
            raise ConfigError(
                f"config.yaml: class_weights: {name.strip()!r} is none of class_names ({', '.join(class_names)});"
                " write NAME:WEIGHT between commas, or auto"
            )
        weights[key] = _parse_weight(item, number)
    return [weights[class_key(name)] for name in class_names]


def _by_frequency(boxes_per_class: Sequence[int]) -> list[float]:
    """Return the square root of (boxes of the median class / boxes of a class), between 1/4 and 4; 1 without a box."""
    counts = np.asarray(boxes_per_class, dtype=np.float64)
    present = counts > 0
    weights = np.ones(len(counts))
    if present.any():
        weights[present] = np.clip(np.sqrt(np.median(counts[present]) / counts[present]), _AUTO_MIN, _AUTO_MAX)
    return [float(weight) for weight in weights]


def _parse_weight(item: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = 0.0  # out of range, so that the sentence below fits
    if not 0 < weight <= _MAX_WEIGHT:  # also false for NaN
        raise ConfigError(
            f"config.yaml: class_weights: {item.strip()!r} needs a number above 0 and up to {_MAX_WEIGHT:g} behind the"
            " colon"
        )
    return weight
