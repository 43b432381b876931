"""TensorBoard: the curves, the class table, the plots and the images of a training.

YMIR shows all runs of a user in one TensorBoard, where only what has the same tag can be compared. No tag depends on
the run:

    scalars  loss/<name>, loss/total, train/learning_rate, train/gradient_norm, train/seconds_per_step,
             validation/<metric>, validation_AP/<class>, validation_AP50/<class>, validation_loss/<name>
    text     validation/classes, to which TensorBoard's writer appends /text_summary
    images   evaluation/<plot>, validation_images/<number>
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Mapping

from PIL import Image

from ..evaluation.matching import OperatingPoint
from ..evaluation.metrics import Metrics


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

    def add_step(
        self, step: int, losses: Mapping[str, float], gradient_norm: float, learning_rate: float, seconds: float
    ) -> None:
        """Add the fields of a `StepStats`."""
        for name, value in losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        self._writer.add_scalar("loss/total", sum(losses.values()), step)
        self._writer.add_scalar("train/learning_rate", learning_rate, step)
        self._writer.add_scalar("train/gradient_norm", gradient_norm, step)
        self._writer.add_scalar("train/seconds_per_step", seconds, step)

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
        self._writer.add_text("validation/classes", class_table(metrics), step)
        self._writer.flush()

    def add_validation_losses(self, step: int, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self._writer.add_scalar(f"validation_loss/{name}", value, step)

    def add_images(self, step: int, images: Mapping[str, bytes]) -> None:
        """Add PNGs or JPEGs, as they are, by tag.

        Not by add_image: it encodes pixels again, and that of torch 1.10 calls what Pillow 10 has removed.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        event_file = self._writer.file_writer
        assert event_file is not None  # only once it is closed
        for tag, encoded in images.items():
            with Image.open(io.BytesIO(encoded)) as image:
                width, height = image.size
            shown = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
            event_file.add_summary(Summary(value=[Summary.Value(tag=tag, image=shown)]), step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def class_table(metrics: Metrics) -> str:
    """Return what each class reaches, as a table in Markdown: all together first, then in the order of the classes."""
    objects = {name: counts.tp + counts.fn for name, counts in metrics.counts_by_class.items()}
    rows = [_table_row("**all**", sum(objects.values()), metrics.ap50, metrics.ap, metrics.at_best_f1)]
    for name, count in objects.items():
        ap50, ap = metrics.ap50_by_class.get(name), metrics.ap_by_class.get(name)
        rows.append(_table_row(_as_plain_text(name), count, ap50, ap, metrics.best_f1_by_class.get(name)))
    head = "| class | objects | AP50 | AP | best threshold | precision | recall |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def _table_row(name: str, objects: int, ap50: float | None, ap: float | None, best: OperatingPoint | None) -> str:
    rates = [ap50, ap, None, None, None]
    if best is not None:
        rates[2:] = best.score_threshold, best.counts.precision, best.counts.recall
    return f"| {name} | {objects} | " + " | ".join("-" if rate is None else f"{rate:.3f}" for rate in rates) + " |"


def _as_plain_text(name: str) -> str:
    """Return a name that Markdown shows as it is: neither markup nor the end of a cell."""
    plain = (character if character.isalnum() or character == " " else f"&#{ord(character)};" for character in name)
    return "".join(plain)
