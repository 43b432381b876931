"""Curves for TensorBoard."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..evaluation.metrics import Metrics
from .loop import StepStats


class Board:
    """Writes one event file; the folder itself belongs to the platform and is never listed or emptied."""

    def __init__(self, folder: Path, *, first_step: int = 1) -> None:
        """
        Args:
            first_step: points from here on of an earlier file of this folder are hidden.
        """
        with warnings.catch_warnings():  # some releases of tensorboard import what NumPy has deprecated
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = SummaryWriter(str(folder), flush_secs=20, purge_step=first_step if first_step > 1 else None)

    def add_step(self, stats: StepStats) -> None:
        for name, value in stats.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, stats.step)
        self._writer.add_scalar("loss/total", sum(stats.losses.values()), stats.step)
        self._writer.add_scalar("train/learning_rate", stats.learning_rate, stats.step)
        self._writer.add_scalar("train/gradient_norm", stats.gradient_norm, stats.step)
        self._writer.add_scalar("train/seconds_per_step", stats.seconds, stats.step)

    def add_metrics(self, step: int, metrics: Metrics) -> None:
        for name in ("ap", "ap50", "ap75", "ar100"):
            self._writer.add_scalar(f"validation/{name.upper()}", getattr(metrics, name), step)
        for name, value in metrics.ap_by_class.items():
            self._writer.add_scalar(f"validation_AP/{name}", value, step)
        for name, value in metrics.ap50_by_class.items():
            self._writer.add_scalar(f"validation_AP50/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
