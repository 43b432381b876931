"""Signs that a training fails although it runs to its end: nothing is found, or the loss has diverged."""

from __future__ import annotations

from typing import Mapping

import numpy as np

from ..evaluation.loss_curve import LossCurve
from ..evaluation.metrics import Metrics

_EARLY = 0.1  # share of the steps before which nothing has to be found yet
_RECENT_POINTS = 20
# A network that has learned nothing begins near 2, and a fine-tuned one near 0.1, which a warm-up may well double or
# triple: only a loss that is high by both measures has diverged.
_HIGH_LOSS = 10.0
_HIGH_RATIO = 5.0


def failure_signs(progress: float, losses: Mapping[str, LossCurve], metrics: Metrics) -> list[str]:
    """Return a sentence for each sign, with what to do.

    Args:
        progress: share of the steps that are done, in [0, 1].
        losses: of the training so far.
        metrics: of the weights as they are now.
    """
    signs = []
    first, recent = _first_and_recent(losses)
    if recent > _HIGH_LOSS and recent > _HIGH_RATIO * first:
        signs.append("the loss has diverged, and the model is of no use; lower learning_rate, for instance to a tenth")
    if progress >= _EARLY and metrics.ap50_by_class and metrics.ap50 == 0:
        signs.append(
            "after a tenth of the training, no object of the validation set had been found (AP50 0); if that is still"
            " so at the end, check the boxes and classes of the labels, and learning_rate"
        )
    return signs


def _first_and_recent(losses: Mapping[str, LossCurve]) -> tuple[float, float]:
    """Return the total loss of the first step and the median of the latest points; 0 and 0 before the first step."""
    curves = [curve.values for curve in losses.values()]
    if not curves:
        return 0.0, 0.0
    total = np.sum([values[-min(map(len, curves)) :] for values in curves], axis=0)
    return float(total[0]), float(np.median(total[-_RECENT_POINTS:]))
