"""What every engine offers to the rest of the project, free of torch and of detectron2.

Letters: N boxes of one picture, K classes, H and W height and width of the picture in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Protocol, Sequence, TypeVar

import numpy as np

from ..contract.model_package import ModelPackage
from ..evaluation.metrics import Metrics
from ..settings import DeviceSettings, TrainSettings


@dataclass(frozen=True)
class Detections:
    """The boxes found in one picture, best score first."""

    boxes_xyxy: np.ndarray
    """(N, 4) float32: x1 y1 x2 y2 in pixels of the original picture, x2 and y2 exclusive."""
    scores: np.ndarray
    """(N,) float32 in [0, 1]."""
    classes: np.ndarray
    """(N,) int64: 0-based position in the detector's class names."""
    class_probs: np.ndarray | None = None
    """(N, K) float32: probability of each class, independent sigmoids; None where the model has no such thing."""

    def __len__(self) -> int:
        return len(self.scores)


class Detector(Protocol):
    """A loaded model that finds boxes in pictures."""

    class_names: tuple[str, ...]

    def detect(self, images_bgr: Sequence[np.ndarray]) -> list[Detections]:
        """Find the boxes of upright (H, W, 3) uint8 BGR pictures of any sizes, in their order.

        The result for a picture does not depend on the others.
        """


AnyConfig = TypeVar("AnyConfig", bound="EngineConfig")


class EngineConfig(Protocol):
    """A configuration in detectron2's terms: immutable, by dotted keys such as SOLVER.MAX_ITER."""

    def __getitem__(self, key: str) -> Any: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, key: object) -> bool: ...

    def merged(self: AnyConfig, values: Mapping[str, Any], source: str) -> AnyConfig:
        """Return a copy with `values` on top.

        Args:
            source: where they come from, for the error.

        Raises:
            ConfigError: unknown key, or a value of the wrong type.
        """

    def to_yaml(self) -> str:
        """The whole configuration as YAML that every engine reads."""


class StageWeights(NamedTuple):
    """A checkpoint that an engine has written."""

    name: str
    files: tuple[str, ...]
    """Names in `TrainJob.models_dir`."""
    metrics: Metrics | None
    """Of exactly these weights; None when they could not be evaluated."""
    score: float
    """What the best stage is chosen by, in [0, 1]; 0 when not evaluated."""


class TrainSummary(NamedTuple):
    """What a finished training says about itself."""

    steps: int
    seconds_per_step: float
    """Median over the run, without evaluation."""
    device: str


@dataclass(frozen=True)
class TrainJob:
    """Everything that a training needs; the engine opens nothing else."""

    train_json: Path
    val_json: Path
    class_names: tuple[str, ...]
    settings: TrainSettings
    config_file: Path
    overrides: Mapping[str, Any]
    """KEY VALUE pairs that win over everything else."""
    pretrained: ModelPackage | None
    weights_folders: tuple[Path, ...]
    """Where `detectron2://` files are looked for, first one first."""
    gpu_ids: tuple[int, ...] | None
    models_dir: Path
    tensorboard_dir: Path
    resume_dir: Path
    """Where the state of an unfinished training is kept, and looked for."""
    must_resume: bool
    """Whether an unfinished training that is another one is an error; else this one begins anew."""
    on_progress: Callable[[float], None]
    on_stage: Callable[[StageWeights], None]
    """Called after the files of a stage are written, in one process only."""
    on_resume: Callable[[], None]
    """Called when the training goes on where an earlier one was stopped, in one process only."""
    stop_requested: Callable[[], bool]


@dataclass(frozen=True)
class DetectorOptions:
    """How a detector is to run."""

    settings: DeviceSettings
    gpu_ids: tuple[int, ...] | None
    score_threshold: float
    batch_size: int
    """0: the engine chooses."""
    overrides: Mapping[str, Any]
    class_names: tuple[str, ...]
    """What the task calls the classes; () when it does not say."""


class Engine(Protocol):
    """One implementation of training and detection."""

    name: str

    def train(self, job: TrainJob) -> TrainSummary:
        """Train, and offer a stage at every evaluation."""

    def load_detector(self, package: ModelPackage, options: DetectorOptions) -> Detector:
        """Load a trained model."""
