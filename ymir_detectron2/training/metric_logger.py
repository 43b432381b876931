"""Metrics of a training for people: lines of the log, TensorBoard, curves of the report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from .. import distributed
from ..evaluation.loss_curve import LossHistory
from ..evaluation.metrics import Metrics
from .tensorboard_logger import TensorBoardLogger
from .training_plan import TrainingPlan

logger = logging.getLogger(__name__)

_POINTS_PER_CURVE = 1000  # as many as TensorBoard shows


class StepStats(NamedTuple):
    """Result of one training step."""

    step: int
    """Counted from 1."""
    losses: dict[str, float]
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    seconds: float


class MetricLogger:
    """Keep the curves of steps and evaluations, and log the evaluations, in the process of rank 0."""

    def __init__(self, plan: TrainingPlan, tensorboard_dir: Path) -> None:
        self._plan = plan
        self._tensorboard_dir = tensorboard_dir
        self._is_writer = distributed.rank() == 0
        self.training_losses, self.validation_losses, self.stage_metrics = LossHistory(), LossHistory(), LossHistory()
        self._tensorboard: TensorBoardLogger | None = None

    def open(self, step: int) -> None:
        """Begin after `step` finished steps."""
        if self._is_writer:
            self._tensorboard = TensorBoardLogger(self._tensorboard_dir, first_step=step + 1)

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()

    def add_step(self, stats: StepStats) -> None:
        """Record a step; its line in the log is that of `TrainingProgress`."""
        if not self._is_writer:
            return
        self.training_losses.add(stats.step, stats.losses)
        if self._tensorboard is not None and _is_nth(stats.step, self._plan.end_step // _POINTS_PER_CURVE):
            self._tensorboard.add_step(*stats)

    def log_evaluation(self, step: int, metrics: Metrics, weights: str = "") -> None:
        """Log the metrics of one set of weights.

        Args:
            weights: e.g. 'EMA weights'; '' for the raw ones.
        """
        if not self._is_writer:
            return
        by_class = "  ".join(f"{name} {value:.3f}" for name, value in metrics.ap50_by_class.items())
        logger.info(
            "step %d: AP50%s %.4f  AP %.4f  AP75 %.4f  AR %.4f  AP50 by class: %s",
            step, f" of the {weights}" if weights else "", metrics.ap50, metrics.ap, metrics.ap75, metrics.ar100,
            by_class or "no labelled object",
        )  # fmt: skip

    def log_stage(self, step: int, metrics: Metrics, validation_losses: Mapping[str, float]) -> None:
        """Record metrics and losses of the weights that become the stage of this step."""
        self.validation_losses.add(step, validation_losses)
        self.stage_metrics.add(step, _curve_values(metrics))
        if self._tensorboard is not None:
            self._tensorboard.add_metrics(step, metrics)
            self._tensorboard.add_validation_losses(step, validation_losses)
        parts = [f"validation {name} {value:.4f}" for name, value in validation_losses.items()]
        if metrics.at_threshold is not None:
            tp, fp, fn = metrics.at_threshold.counts
            parts.append(f"score > {metrics.at_threshold.score_threshold:g}: {tp} tp, {fp} fp, {fn} fn")
        if metrics.at_best_f1 is not None:
            best, counts = metrics.at_best_f1.score_threshold, metrics.at_best_f1.counts
            parts.append(f"best threshold {best:.4g}: precision {counts.precision:.3f}, recall {counts.recall:.3f}")
        logger.info("stage of step %d: %s", step, "  ".join(parts))

    def add_images(self, step: int, images: Mapping[str, bytes]) -> None:
        """Add PNGs and JPEGs of a stage, by tag, to TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.add_images(step, images)

    def state_dict(self) -> dict[str, Any]:
        return {
            "training_losses": self.training_losses.state_dict(),
            "validation_losses": self.validation_losses.state_dict(),
            "stage_metrics": self.stage_metrics.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.training_losses.load_state_dict(state["training_losses"])
        self.validation_losses.load_state_dict(state["validation_losses"])
        self.stage_metrics.load_state_dict(state["stage_metrics"])


def _curve_values(metrics: Metrics) -> dict[str, float]:
    values = {"AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75, "AR100": metrics.ar100}
    if metrics.at_best_f1 is not None:
        values.update(best_F1=metrics.at_best_f1.counts.f1, best_threshold=metrics.at_best_f1.score_threshold)
    return values


def _is_nth(step: int, period: int) -> bool:
    return step == 1 or step % max(1, period) == 0
