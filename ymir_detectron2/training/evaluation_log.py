"""Lines of the log about an evaluation."""

from __future__ import annotations

import logging
from typing import Mapping

from ..evaluation.metrics import Metrics

logger = logging.getLogger(__name__)


def log_metrics(step: int, metrics: Metrics, whose: str) -> None:
    """The figures of one set of weights.

    Args:
        whose: '' for those of the step, else e.g. ' of the averaged weights'.
    """
    by_class = "  ".join(f"{name} {value:.3f}" for name, value in metrics.ap50_by_class.items())
    logger.info(
        "step %d: AP50%s %.4f  AP %.4f  AP75 %.4f  AR %.4f  AP50 by class: %s",
        step, whose, metrics.ap50, metrics.ap, metrics.ap75, metrics.ar100, by_class or "no labelled object",
    )  # fmt: skip


def log_stage(step: int, metrics: Metrics, losses: Mapping[str, float]) -> None:
    """Losses and counts of the weights that become the stage."""
    parts = [f"validation {name} {value:.4f}" for name, value in losses.items()]
    point = metrics.at_threshold
    if point is not None:
        tp, fp, fn = point.counts
        parts.append(f"score above {point.score_threshold:g}: {tp} right, {fp} wrong, {fn} missed")
    logger.info("after step %d: %s", step, "  ".join(parts))
