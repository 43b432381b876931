"""Metrics of a training for people: lines of the log, TensorBoard curves, a progress bar, loss curves of the report.

TensorBoard tags: loss/<name>, loss/total, train/learning_rate, train/gradient_norm, train/seconds_per_step,
validation/<metric>, validation_AP/<class>, validation_AP50/<class>, validation_loss/<name>, evaluation/<plot>.
"""

from __future__ import annotations

import io
import logging
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple

from PIL import Image
from tqdm import tqdm

from .. import distributed
from ..evaluation.loss_curve import LossHistory
from ..evaluation.metrics import Metrics

logger = logging.getLogger(__name__)

_LOG_LINES_PER_RUN = 100  # the platform keeps the whole log in one file
_POINTS_PER_CURVE = 1000  # as many as TensorBoard shows
_RECENT_STEPS = 100  # of which the median time estimates the rest of the run: an evaluation in between does not count


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
    """Log steps and evaluations in the process of rank 0; the other processes only time their steps."""

    def __init__(self, max_iter: int, tensorboard_dir: Path, on_progress: Callable[[float], None]) -> None:
        """
        Args:
            on_progress: called with the fraction of finished steps.
        """
        self._max_iter = max_iter
        self._tensorboard_dir = tensorboard_dir
        self._on_progress = on_progress
        self._is_writer = distributed.rank() == 0
        self._seconds: list[float] = []
        self.training_losses, self.validation_losses = LossHistory(), LossHistory()
        self._tensorboard: TensorBoardLogger | None = None
        self._bar: tqdm[Any] | None = None

    def open(self, step: int) -> None:
        """Begin after `step` finished steps."""
        if self._is_writer:
            self._tensorboard = TensorBoardLogger(self._tensorboard_dir, first_step=step + 1)
        # a bar for a person at a terminal, lines for a log file
        is_shown = self._is_writer and sys.stdout.isatty()
        self._bar = tqdm(total=self._max_iter, initial=step, unit="step", disable=not is_shown)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    @property
    def seconds_per_step(self) -> float:
        """Median over the run, without evaluations; 0 before the first step."""
        return statistics.median(self._seconds or [0.0])

    def log_step(self, stats: StepStats) -> None:
        self._seconds.append(stats.seconds)
        if self._bar is not None:
            self._bar.update()
        if not self._is_writer:
            return
        self._on_progress(stats.step / self._max_iter)
        self.training_losses.add(stats.step, stats.losses)
        if self._tensorboard is not None and _is_nth(stats.step, self._max_iter // _POINTS_PER_CURVE):
            self._tensorboard.add_step(stats)
        if _is_nth(stats.step, self._max_iter // _LOG_LINES_PER_RUN):
            recent = statistics.median(self._seconds[-_RECENT_STEPS:])
            losses = "  ".join(f"{name} {value:.4f}" for name, value in stats.losses.items())
            logger.info(
                "step %d/%d  %s  lr %.6f  %.3f s/step  %.0f min left",
                stats.step, self._max_iter, losses, stats.learning_rate, recent,
                recent * (self._max_iter - stats.step) / 60,
            )  # fmt: skip

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
        if self._tensorboard is not None:
            self._tensorboard.add_metrics(step, metrics)
            self._tensorboard.add_validation_losses(step, validation_losses)
        parts = [f"validation {name} {value:.4f}" for name, value in validation_losses.items()]
        if metrics.at_threshold is not None:
            tp, fp, fn = metrics.at_threshold.counts
            parts.append(f"score > {metrics.at_threshold.score_threshold:g}: {tp} tp, {fp} fp, {fn} fn")
        logger.info("stage of step %d: %s", step, "  ".join(parts))

    def log_plots(self, step: int, plots: Mapping[str, bytes]) -> None:
        """Add the PNGs of a stage, by file name, to TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.add_plots(step, plots)

    def state_dict(self) -> dict[str, Any]:
        return {
            "training_losses": self.training_losses.state_dict(),
            "validation_losses": self.validation_losses.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.training_losses.load_state_dict(state["training_losses"])
        self.validation_losses.load_state_dict(state["validation_losses"])


def _is_nth(step: int, period: int) -> bool:
    return step == 1 or step % max(1, period) == 0


class TensorBoardLogger:
    """Writes one event file; the folder itself belongs to the platform and is never listed or emptied."""

    def __init__(self, folder: Path, *, first_step: int = 1) -> None:
        """
        Args:
            first_step: TensorBoard hides the points of an earlier event file from this step on; after a restart that
                file goes further than the checkpoint.
        """
        with warnings.catch_warnings():  # some releases of tensorboard import what NumPy has deprecated
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        # every 20 s rather than tensorboard's 120: the curves are watched while the training runs
        self._writer = SummaryWriter(str(folder), flush_secs=20, purge_step=first_step if first_step > 1 else None)

    def add_step(self, stats: StepStats) -> None:
        for name, value in stats.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, stats.step)
        self._writer.add_scalar("loss/total", sum(stats.losses.values()), stats.step)
        self._writer.add_scalar("train/learning_rate", stats.learning_rate, stats.step)
        self._writer.add_scalar("train/gradient_norm", stats.gradient_norm, stats.step)
        self._writer.add_scalar("train/seconds_per_step", stats.seconds, stats.step)

    def add_metrics(self, step: int, metrics: Metrics) -> None:
        values = {
            "AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75, "AP_small": metrics.ap_small,
            "AP_medium": metrics.ap_medium, "AP_large": metrics.ap_large, "AR1": metrics.ar1, "AR10": metrics.ar10,
            "AR100": metrics.ar100,
        }  # fmt: skip
        if metrics.at_threshold is not None:
            counts = metrics.at_threshold.counts
            values.update(precision=counts.precision, recall=counts.recall, F1=counts.f1)
        if metrics.at_best_f1 is not None:
            values["threshold_of_best_F1"] = metrics.at_best_f1.score_threshold
        for name, value in values.items():
            if value is not None:  # e.g. AP_small of a set without small objects
                self._writer.add_scalar(f"validation/{name}", value, step)
        for name, value in metrics.ap_by_class.items():
            self._writer.add_scalar(f"validation_AP/{name}", value, step)
        for name, value in metrics.ap50_by_class.items():
            self._writer.add_scalar(f"validation_AP50/{name}", value, step)
        self._writer.flush()

    def add_validation_losses(self, step: int, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self._writer.add_scalar(f"validation_loss/{name}", value, step)

    def add_plots(self, step: int, plots: Mapping[str, bytes]) -> None:
        """Add PNGs, as they are, under the stems of their file names.

        Not by add_image: it encodes pixels again, and that of torch 1.10 calls what Pillow 10 has removed.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        event_file = self._writer.file_writer
        assert event_file is not None  # only once it is closed
        for name, png in plots.items():
            with Image.open(io.BytesIO(png)) as image:
                width, height = image.size
            shown = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
            value = Summary.Value(tag=f"evaluation/{Path(name).stem}", image=shown)
            event_file.add_summary(Summary(value=[value]), step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
