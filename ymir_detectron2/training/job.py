"""The interface between a training and the task that starts it: the job, the stages that it saves, its summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Mapping, NamedTuple

from ..config.train_settings import TrainSettings
from ..contract.model_package import ModelPackage
from ..evaluation.loss_curve import LossCurve
from ..evaluation.metrics import Evaluation


class StageWeights(NamedTuple):
    """A stage that an engine has written: weights, their evaluation, the losses so far."""

    name: str
    files: tuple[str, ...]
    """Names in the stage's own folder, `TrainJob.models_dir` / name, or in `TrainJob.models_dir`."""
    evaluation: Evaluation | None
    """Of exactly these weights; None if there was no time for one."""
    score: float
    """The value of `best_metric`, in [0, 1]; 0 without an evaluation."""
    training_losses: Mapping[str, LossCurve]
    """Of the run so far."""
    validation_losses: Mapping[str, LossCurve]
    """Of the weights of each evaluation; {} if the engine does not compute them."""
    metrics: Mapping[str, LossCurve]
    """AP and its kin of each evaluation, by step."""
    step: int


class TrainSummary(NamedTuple):
    """Summary of a finished training."""

    steps: int
    seconds_per_step: float
    """Median over the run, without evaluations."""
    device: str
    precision: str
    """That the network was computed in, where the setting leaves it open or the device does not have it."""
    tile_size: int = 0
    """Pixels; 0: no tiles."""
    final_pass_images: int = 0
    """Images that may be predicted once more, see final_pass.py; 0: none."""


@dataclass(frozen=True)
class TrainJob:
    """Everything that a training needs; the engine opens nothing else."""

    train_json: Path
    val_json: Path
    class_names: tuple[str, ...]
    settings: TrainSettings
    config_file: Path
    overrides: Mapping[str, Any]
    """KEY VALUE pairs of args_options, which win over every other source."""
    pretrained: ModelPackage | None
    weights_folders: tuple[Path, ...]
    """Folders that are searched for `detectron2://` files, in this order."""
    gpu_ids: tuple[int, ...] | None
    models_dir: Path
    tensorboard_dir: Path
    resume_dir: Path
    """Folder of the checkpoints of an unfinished training."""
    must_resume: bool
    """Whether a checkpoint of another training is an error (`--resume`); else this one starts from step 1."""
    on_progress: Callable[[float], None]
    on_stage: Callable[[StageWeights], Mapping[str, bytes]]
    """Called after the files of a stage are written, in rank 0 only; returns PNGs and JPEGs by TensorBoard's tags."""
    on_config: Callable[[str], None]
    """Called with the resolved configuration as the text of a file, before the first step, in rank 0 only."""
    on_anchors: Callable[[Mapping[str, Any]], None]
    """Called with the anchor figures for the dataset report, in rank 0 only."""
    on_unreadable: Callable[[str, Collection[str]], None]
    """Called with "training" or "validation" and a sentence for each image of the set whose pixels could not be decoded
    so far, in rank 0 only."""
    on_warning: Callable[[str], None]
    """Called with what a person has to read, in the log, in the report and again at the end of the log; rank 0 only."""
    on_resume: Callable[[], bool]
    """Called when the training resumes from a checkpoint, in rank 0 only; returns whether it still has a stage."""
    stop_requested: Callable[[], bool]
    elapsed_s: Callable[[], float]
    """Returns the seconds since this start of the task began, conversion included."""
