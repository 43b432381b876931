"""What every engine offers to the rest of the project, free of torch and of detectron2.

Letters: N boxes of one picture, K classes, H and W height and width of the picture in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Protocol, Sequence, TypeVar

import numpy as np

from ..contract.model_package import ModelPackage
from ..evaluation.loss_curve import LossCurve
from ..evaluation.metrics import Evaluation
from ..settings import InferSettings, TrainSettings


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

    def take(self, index: np.ndarray, **changed: np.ndarray) -> Detections:
        """The detections at these positions, with other arrays in the place of some of theirs."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        return Detections(**{**{name: value[index] for name, value in fields.items()}, **changed})

    @staticmethod
    def concatenated(parts: Sequence[Detections]) -> Detections:
        """All detections of several sets, at least one, of the same detector."""
        fields = [name for name, value in vars(parts[0]).items() if value is not None]
        return Detections(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields})


Pixels = Any
"""(H, W, 3) uint8 BGR: a NumPy array in main memory, or a torch tensor on the detector's device."""


class DenseView(Protocol):
    """What a RetinaNet says about every place of one picture, without the padding of its batch. Torch tensors."""

    @property
    def class_maps(self) -> list[Any]:
        """Per pyramid level, finest first, (K, h, w) float32 in [0, 1]: the largest probability over the anchors."""

    @property
    def features(self) -> list[Any]:
        """Per pyramid level, finest first, (C, h, w): what the heads look at."""


ReadDense = Callable[[DenseView], Any]


class Detector(Protocol):
    """A loaded model that finds boxes in pictures.

    A picture is first brought to the size at which the network looks at it, then looked at as it is: whoever alters
    pictures can do so in between, on the device.
    """

    class_names: tuple[str, ...]
    parts_at_once: int
    """How many pictures `detect` is best given at a time: some batches, so that like shapes find each other."""

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which the network looks at an upright picture of this height and width."""

    def load(self, image_bgr: np.ndarray) -> Pixels:
        """Resize an upright (H, W, 3) uint8 BGR picture to `network_hw`, on the device where there is one.

        Called from several threads at a time.
        """

    def detect(self, pixels: Sequence[Pixels]) -> list[Detections]:
        """Find the boxes of pictures of any sizes as they are, without resizing: boxes are in pixels of what was given.

        The result for a picture does not depend on the others.
        """

    def detect_and_read(self, pixels: Sequence[Pixels], read: ReadDense) -> list[tuple[Detections, Any]]:
        """`detect`, and what `read` makes of the dense outputs of each picture, from the same pass.

        Raises:
            ConfigError: the network has no dense outputs.
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
    evaluation: Evaluation | None
    """Of exactly these weights; None when they could not be evaluated."""
    score: float
    """What the best stage is chosen by, in [0, 1]; 0 when not evaluated."""
    training_losses: Mapping[str, LossCurve]
    """Of the run so far."""
    validation_losses: Mapping[str, LossCurve]
    """Of the weights of each evaluation; {} where the engine does not measure them."""


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
    on_stage: Callable[[StageWeights], Mapping[str, bytes]]
    """Called after the files of a stage are written, in one process only; returns PNGs to show, by name."""
    on_anchors: Callable[[Mapping[str, Any]], None]
    """Called with what is to be said about the anchors in the dataset report, in one process only."""
    on_resume: Callable[[], None]
    """Called when the training goes on where an earlier one was stopped, in one process only."""
    stop_requested: Callable[[], bool]


@dataclass(frozen=True)
class DetectorOptions:
    """How a detector is to run."""

    settings: InferSettings
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
