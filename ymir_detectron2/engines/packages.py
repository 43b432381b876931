"""Model packages and checkpoints as both engines take them: whose classes, whether all of it fits, where to start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Mapping

from torch import Tensor

from ..contract.model_package import ModelPackage
from ..contract.task import class_key
from ..errors import ConfigError, ModelError
from ..retinanet.checkpoint import LoadReport, read_checkpoint
from ..retinanet.weights import resolve_weights
from .base import EngineConfig, TrainJob

logger = logging.getLogger(__name__)


def config_of(package: ModelPackage) -> Path:
    """The configuration beside the weights.

    Raises:
        ModelError: there is none, so that nobody knows the network.
    """
    if package.config is None:
        raise ModelError(
            f"{package.weights}: no config.yaml lies beside it, so its network is unknown;"
            f" list the config.yaml of that training in {package.source} as well"
        )
    return package.config


def class_names_of(
    package: ModelPackage, metadata: Mapping[str, object], of_task: tuple[str, ...]
) -> tuple[str, ...]:
    """The names that the weights were trained for, checked against those of the task.

    The checkpoint knows best, then ymir-info.yaml; config.yaml's order is that of the training as well (contract, 1.3).
    """
    stored = metadata.get("class_names") or package.class_names or of_task
    names = tuple(str(name) for name in stored) if isinstance(stored, (list, tuple)) else ()
    if not names:
        raise ConfigError("config.yaml: class_names is missing, and the model does not know them; list them")
    if of_task and sorted(map(class_key, names)) != sorted(map(class_key, of_task)):
        raise ModelError(
            f"{package.weights}: was trained for {', '.join(names)}, but the task is about {', '.join(of_task)};"
            " choose the model of these classes"
        )
    return names


def require_complete(report: LoadReport, package: ModelPackage, num_classes: int) -> None:
    """Raise ModelError when a tensor of the model was not in the file."""
    if report.missing or report.misshapen:
        raise ModelError(
            f"{package.weights}: does not fit {package.config} with {num_classes} classes:"
            f" {len(report.missing)} tensors missing, {len(report.misshapen)} of another shape;"
            f" use the files of one stage together\n{report.table()}"
        )


def initial_weights(
    cfg: EngineConfig, job: TrainJob, class_layers: tuple[str, ...]
) -> tuple[dict[str, Tensor], Path] | None:
    """What a training starts from: the chosen model, else MODEL.WEIGHTS; None where that is '' on purpose.

    Args:
        class_layers: how the names of the layers begin that decide about classes; they are left out, so that they
            start anew, when the file was trained for other classes.
    """
    if job.pretrained is not None:
        path: Path | None = job.pretrained.weights
    else:
        path = resolve_weights(cfg["MODEL.WEIGHTS"], job.weights_folders)
    if path is None:
        logger.info("training from random weights, because MODEL.WEIGHTS is empty")
        return None
    checkpoint = read_checkpoint(path)
    state_dict = checkpoint.state_dict
    names = checkpoint.metadata.get("class_names") or (job.pretrained.class_names if job.pretrained else None)
    if names and [class_key(str(name)) for name in names] != [class_key(name) for name in job.class_names]:
        logger.info("%s was trained for %s: the class layer starts anew", path, ", ".join(map(str, names)))
        state_dict = {name: value for name, value in state_dict.items() if not name.startswith(class_layers)}
    return state_dict, path
