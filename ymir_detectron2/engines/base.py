"""The interface of an engine; free of torch and of detectron2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Protocol

from ..config.prediction_settings import InferSettings
from ..contract.model_package import ModelPackage
from ..detections import Detector
from ..training.job import TrainJob, TrainSummary


@dataclass(frozen=True)
class DetectorOptions:
    """Settings of a detector."""

    settings: InferSettings
    gpu_ids: tuple[int, ...] | None
    """() is the CPU; None: a GPU if there is one."""
    score_threshold: float
    """Boxes with a score of this or less are left out."""
    batch_size: int
    """Images per forward pass; 0: the engine chooses."""
    overrides: Mapping[str, Any]
    """Configuration keys of args_options."""
    class_names: tuple[str, ...]
    """The classes of the task; () when it does not name them."""

    @classmethod
    def from_settings(
        cls, settings: InferSettings, gpu_ids: tuple[int, ...] | None, overrides: Mapping[str, Any],
        class_names: tuple[str, ...] = (),
    ) -> DetectorOptions:  # fmt: skip
        """Return the options of a task with these settings."""
        return cls(settings, gpu_ids, settings.conf_threshold, settings.batch_size, overrides, class_names)


class Engine(Protocol):
    """One implementation of training and detection."""

    name: str

    def train(self, job: TrainJob) -> TrainSummary:
        """Train, and report a stage at every evaluation."""

    def load_detector(self, package: ModelPackage, options: DetectorOptions) -> Detector:
        """Load a trained model."""
