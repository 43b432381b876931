"""training-history.json: losses of both sets and metrics of the stages, by step; in bounded size however long it took.

    /out/training-history.json
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from pydantic import Field, model_validator
from typing_extensions import Annotated

from .loss_curve import LossCurve
from .result_file import Count, Name, Part, parse_result_file

FORMAT = 1
NAME = "training-history.json"
_MAX_BYTES = 32 << 20
_MAX_CURVES = 200
_MAX_POINTS = 10_000  # the writer keeps loss_curve.MAX_POINTS


class Curve(Part):
    """Values by step; None where a value is NaN or infinite."""

    steps: Annotated[List[Count], Field(max_length=_MAX_POINTS)]
    values: Annotated[List[Optional[float]], Field(max_length=_MAX_POINTS)]

    @model_validator(mode="after")
    def _require_consistent(self) -> Curve:
        if len(self.steps) != len(self.values) or self.steps != sorted(set(self.steps)):
            raise ValueError("the steps of a curve do not rise, or are not as many as its values")
        if not all(value is None or math.isfinite(value) for value in self.values):
            raise ValueError("a curve has a value that is no number")
        return self


Curves = Annotated[Dict[Name, Curve], Field(max_length=_MAX_CURVES)]


class TrainingHistory(Part):
    """Content of training-history.json."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    step: Count
    """Of the stage with which it was written."""
    training_losses: Curves
    validation_losses: Curves
    metrics: Curves
    """AP, AP50, AP75, AR100, best_F1, best_threshold of each evaluated stage."""


def training_history(
    step: int,
    training_losses: Mapping[str, LossCurve],
    validation_losses: Mapping[str, LossCurve],
    metrics: Mapping[str, LossCurve],
) -> TrainingHistory:
    """Put the curves of a training into the form of the file, with six digits."""
    return TrainingHistory(
        format=FORMAT,
        step=step,
        training_losses=_curves(training_losses),
        validation_losses=_curves(validation_losses),
        metrics=_curves(metrics),
    )


def read_training_history(out_dir: Path) -> TrainingHistory | None:
    """Read training-history.json of an output folder; None if there is none.

    Raises:
        ExecutorError: it cannot be read, or holds something else.
    """
    path = out_dir / NAME
    return parse_result_file(path, TrainingHistory, _MAX_BYTES) if path.exists() else None


def _curves(curves: Mapping[str, LossCurve]) -> Dict[str, Curve]:
    return {
        name: Curve(steps=[int(step) for step in curve.steps], values=[_six_digits(value) for value in curve.values])
        for name, curve in curves.items()
    }


def _six_digits(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
