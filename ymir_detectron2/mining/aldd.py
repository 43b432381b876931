"""ALDD: an image is worth labelling where neighbouring places of its score maps contradict each other.

Letters: N images, C maps, K classes, h and w height and width of a map in its own places.
Source: Aghdam et al., Active Learning for Deep Detection Neural Networks, ICCV 2019, arXiv 1911.09168. Sizes of the
pools as in the YMIR executors det-yolov5-tmi and det-mmdetection-tmi, whose operator this is; the maps differ, see
docs/mining.md.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from ..detections import Detections, ImageDenseOutputs, Pixels
from ..errors import ConfigError, briefly
from .algorithms import Algorithm
from .explanation import Explanation

logger = logging.getLogger(__name__)

NEIGHBOURHOOD = 9
"""Side of the square over which probabilities are averaged, in places."""
CLASSES_EXPLAINED = 5
"""Of an image, those that contribute most."""
WINDOW = 32
"""Side of the squares of which the most contradictory place counts; a map that is smaller is one square."""


class Aldd(Algorithm):
    """See `Algorithm`. Scores are not negative (but for rounding) and need no detections."""

    uses_class_weights = True
    _has_warned = False

    def __init__(
        self, *, class_names: Sequence[str] = (), class_distribution_scores: str = "", **options: Any
    ) -> None:
        super().__init__(class_names=class_names, **options)
        self.extract = extract_contradiction
        self.extract_to_explain = extract_level_contradictions
        self._class_names = tuple(class_names)
        self._class_weights = read_class_weights(class_distribution_scores, class_names)  # (K,)

    def score_tiles(
        self,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        detections: Sequence[Detections],
        extracted: Sequence[Any],
    ) -> list[Any]:
        """Return the contradictions (K,) of each tile; 0, with one warning, in place of NaN and infinity."""
        scores = []
        for name, contradictions in zip(names, extracted):
            is_finite = np.isfinite(contradictions)
            if not is_finite.all() and not self._has_warned:
                self._has_warned = True
                logger.warning("%s: class maps are not finite numbers; reported once; check the model", name)
            scores.append(np.where(is_finite, contradictions, 0.0))
        return scores

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return the weighted sum over the classes of the mean over the tiles."""
        return float(np.dot(self._class_weights, np.mean(tile_scores, axis=0)))

    def explain_tiles(
        self,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        detections: Sequence[Detections],
        extracted: Sequence[Any],
    ) -> list[Tuple[Any, Any]]:
        """Return the contradictions of each tile with its (levels, K) of each pyramid level."""
        scores = self.score_tiles(names, tiles, detections, [levels.sum(axis=0) for levels in extracted])
        return list(zip(scores, extracted))

    def explain_image(self, detections: Detections, evidence: Sequence[Any]) -> Explanation:
        """Return what the classes with the largest parts, and the pyramid levels, contribute to the score."""
        mean = np.mean(np.nan_to_num(np.stack(evidence), nan=0.0, posinf=0.0, neginf=0.0), axis=0)  # (levels, K)
        weighted = mean * self._class_weights
        by_class, by_level = weighted.sum(axis=0), weighted.sum(axis=1)
        largest = np.argsort(-by_class, kind="stable")[:CLASSES_EXPLAINED]
        facts = [(f"class {self._class_names[class_id]}", float(by_class[class_id])) for class_id in largest]
        facts += [(f"pyramid level {level}, finest is 1", float(part)) for level, part in enumerate(by_level, start=1)]
        return Explanation(facts)


def extract_contradiction(outputs: ImageDenseOutputs) -> np.ndarray:
    """Return (K,) float64: per class the sum over the pyramid levels of their window means.

    Each level keeps its own resolution. Resized to the image, as the peers do it, 9 anchors on 5 levels with 80
    classes would take 15 GB for one image of 800 x 1333 pixels.
    """
    total: np.ndarray = extract_level_contradictions(outputs).sum(axis=0)
    return total


def extract_level_contradictions(outputs: ImageDenseOutputs) -> np.ndarray:
    """Return (levels, K) float64: per pyramid level, finest first, and class the window mean."""
    levels = [window_means(contradiction(maps[None], padding=NEIGHBOURHOOD // 2))[0] for maps in outputs.score_maps]
    stacked: np.ndarray = torch.stack(levels).double().cpu().numpy()
    return stacked


def contradiction(probs: torch.Tensor, *, padding: int) -> torch.Tensor:
    """Return the entropy of the mean minus the mean of the entropy, over the neighbourhood of each place.

    Args:
        probs: (N, C, h, w) in [0, 1].
        padding: places added around; they count in no mean. NEIGHBOURHOOD // 2 keeps the size of the map, with 0
            only places with a whole neighbourhood are left.

    Returns:
        (N, C, h', w') in nats, 0 where all neighbours agree, never below (but for rounding).
    """
    return _entropy(_neighbourhood_mean(probs, padding)) - _neighbourhood_mean(_entropy(probs), padding)


def window_means(values: torch.Tensor) -> torch.Tensor:
    """Return (N, C, h, w) -> (N, C): mean over the windows of their largest value; a rest that fills no window does
    not count."""
    window = min(WINDOW, values.shape[2]), min(WINDOW, values.shape[3])
    return F.max_pool2d(values, window, window).mean(dim=(2, 3))


def _neighbourhood_mean(values: torch.Tensor, padding: int) -> torch.Tensor:
    # zeros that count would count as contradicting neighbours all along the border
    return F.avg_pool2d(values, NEIGHBOURHOOD, stride=1, padding=padding, count_include_pad=False)


def _entropy(probs: torch.Tensor) -> torch.Tensor:
    """-p ln p - (1 - p) ln (1 - p), 0 at both ends."""
    inside = probs.clamp(0.0, 1.0)  # a mean of ones may be rounded above 1
    return torch.special.entr(inside) + torch.special.entr(1.0 - inside)


def read_class_weights(text: str, class_names: Sequence[str]) -> np.ndarray:
    """Read the key `class_distribution_scores`: how much each class counts, e.g. "1.0,1.0,0.1", in their order.

    Returns:
        (K,) float64; classes at the end that the text does not reach have 1.0, as all have in an empty text.

    Raises:
        ConfigError: more numbers than classes, or something that is not a number of 0 or more.
    """
    entries = text.split(",") if text.strip() else []
    if len(entries) > len(class_names):
        raise ConfigError(
            f"config.yaml: class_distribution_scores: {len(entries)} numbers in {briefly(text)}, but the model has"
            f" {len(class_names)} classes ({', '.join(class_names)}); give at most one number for each"
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
            f"config.yaml: class_distribution_scores: expected numbers of 0 or more with commas between, found"
            f" {briefly(entry.strip())} in {briefly(text)}; correct it or leave the field empty"
        )
    return weight
