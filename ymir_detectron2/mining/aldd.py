"""ALDD: a picture is worth labelling where neighbouring places of its class maps contradict each other.

Letters: N pictures, C maps, K classes, h and w height and width of a map in its own places.
Source: Aghdam et al., Active Learning for Deep Detection Neural Networks, ICCV 2019, arXiv 1911.09168. Sizes of the
pools as in the YMIR executors det-yolov5-tmi and det-mmdetection-tmi, whose operator this is; the maps differ, see
docs/mining.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from ..engines.base import DenseView, Detections, Pixels, ReadDense

logger = logging.getLogger(__name__)

NEIGHBOURHOOD = 9
"""Side of the square over which probabilities are averaged, in places."""
WINDOW = 32
"""Side of the squares of which the most contradictory place counts; a map that is smaller is one square."""


class Aldd:
    """See `Algorithm`. Scores are not negative (but for rounding) and need no detections."""

    def __init__(self, class_weights: np.ndarray) -> None:
        """
        Args:
            class_weights: (K,) how much each class counts.
        """
        self.read: ReadDense | None = read_contradiction
        self._class_weights = class_weights
        self._has_warned = False

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """The readings (K,) of each part. Zeros, and one warning, in place of what is no finite number."""
        return [self._finite(name, reading) for name, reading in zip(names, readings)]

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """Weighted sum over the classes of the mean over the parts."""
        return float(np.dot(self._class_weights, np.mean(values, axis=0)))

    def _finite(self, name: str, reading: np.ndarray) -> np.ndarray:
        is_finite = np.isfinite(reading)
        if not is_finite.all() and not self._has_warned:
            self._has_warned = True
            logger.warning("%s: class maps are not finite numbers; this is said once, look at the model", name)
        return np.where(is_finite, reading, 0.0)


def read_contradiction(view: DenseView) -> np.ndarray:
    """(K,) float64: per class the window means of all pyramid levels, each at its own resolution, added up."""
    levels = [window_means(contradiction(maps[None], padding=NEIGHBOURHOOD // 2))[0] for maps in view.class_maps]
    reading: np.ndarray = torch.stack(levels).double().sum(dim=0).cpu().numpy()
    return reading


def contradiction(probs: torch.Tensor, *, padding: int) -> torch.Tensor:
    """Entropy of the mean minus mean of the entropy, over the neighbourhood of each place.

    Args:
        probs: (N, C, h, w) in [0, 1].
        padding: places added around; they count in no mean. NEIGHBOURHOOD // 2 keeps the size of the map, with 0
            only places with a whole neighbourhood are left.

    Returns:
        (N, C, h', w') in nats, 0 where all neighbours agree, never below (but for rounding).
    """
    return _entropy(_mean_around(probs, padding)) - _mean_around(_entropy(probs), padding)


def window_means(values: torch.Tensor) -> torch.Tensor:
    """(N, C, h, w) -> (N, C): mean over the windows of their largest value; what fills no window does not count."""
    window = min(WINDOW, values.shape[2]), min(WINDOW, values.shape[3])
    return F.max_pool2d(values, window, window).mean(dim=(2, 3))


def _mean_around(values: torch.Tensor, padding: int) -> torch.Tensor:
    return F.avg_pool2d(values, NEIGHBOURHOOD, stride=1, padding=padding, count_include_pad=False)


def _entropy(probs: torch.Tensor) -> torch.Tensor:
    """-p ln p - (1 - p) ln (1 - p), 0 at both ends."""
    inside = probs.clamp(0.0, 1.0)  # a mean of ones may be rounded above 1
    return torch.special.entr(inside) + torch.special.entr(1.0 - inside)
