"""Curves for TensorBoard."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Mapping

import numpy as np
from PIL import Image

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
        for name, value in _figures(metrics).items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        for name, value in metrics.ap_by_class.items():
            self._writer.add_scalar(f"validation_AP/{name}", value, step)
        for name, value in metrics.ap50_by_class.items():
            self._writer.add_scalar(f"validation_AP50/{name}", value, step)
        self._writer.flush()

    def add_validation_losses(self, step: int, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self._writer.add_scalar(f"validation_loss/{name}", value, step)

    def add_pictures(self, step: int, pictures: Mapping[str, bytes]) -> None:
        """Show PNGs under the names of their files."""
        for name, png in pictures.items():
            pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
            with warnings.catch_warnings():  # torch 1.10 calls things that Pillow has deprecated
                warnings.simplefilter("ignore")
                self._writer.add_image(f"evaluation/{Path(name).stem}", pixels, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _figures(metrics: Metrics) -> dict[str, float]:
    """What there is, by the name of its curve."""
    figures = {
        "AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75, "AP_small": metrics.ap_small,
        "AP_medium": metrics.ap_medium, "AP_large": metrics.ap_large, "AR1": metrics.ar1, "AR10": metrics.ar10,
        "AR100": metrics.ar100,
    }  # fmt: skip
    if metrics.at_threshold is not None:
        counts = metrics.at_threshold.counts
        figures.update(precision=counts.precision, recall=counts.recall, F1=counts.f1)
    if metrics.at_best_f1 is not None:
        figures["threshold_of_best_F1"] = metrics.at_best_f1.score_threshold
    return {name: value for name, value in figures.items() if value is not None}
